"""The HTTP service: schemas from the contract, the champion behind them, and its metrics."""
