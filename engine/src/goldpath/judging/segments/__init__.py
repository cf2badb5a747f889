"""Judging a segmentation, which has no labels to be right or wrong by."""
