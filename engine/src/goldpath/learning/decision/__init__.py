"""What decisions are worth, and what a model is therefore judged by."""
