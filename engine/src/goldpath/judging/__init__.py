"""Judging a model: evaluation, checks, the promotion gate, fairness, explanations and the card."""
