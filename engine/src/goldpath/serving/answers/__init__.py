"""Answers to predictions, and the fields that a project adds to them."""
