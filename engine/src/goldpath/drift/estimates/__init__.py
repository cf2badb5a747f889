"""Estimates of a model's quality without labels: by its probabilities, and by learned errors."""
