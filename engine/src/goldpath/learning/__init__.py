"""Learning a model: families, search, split, metrics."""
