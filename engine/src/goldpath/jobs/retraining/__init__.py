"""Training again because of drift or lost quality: whether to, and then the whole path."""
