"""Checks of what was scored: drift, and quality once labels have come back."""
