"""The model: the families that are tried, what counts, and what keeps a candidate back."""
