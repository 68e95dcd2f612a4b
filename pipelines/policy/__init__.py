"""The policy: labels, consensus, trade model, sizing, bundle, and the judgement that backtest and service share."""
