"""Everything that backtest and market share, and every batch stage; imports go down to `pipelines.domain` only."""
