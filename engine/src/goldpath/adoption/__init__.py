"""Adopting a file that nobody has described: its columns, their roles, and its contract."""
