"""Erasing a person's rows: where they are, what erasing leaves, and who is not taken in again."""
