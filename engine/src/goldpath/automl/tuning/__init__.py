"""Better parameters for an estimator of one's own."""
