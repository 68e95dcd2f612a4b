"""What a policy would have earned: the backtest, walk-forward, baselines, metrics, significance and the report."""
