"""Free text as numbers that any family of models can learn from."""
