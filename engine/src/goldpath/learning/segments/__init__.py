"""Segments: groups of similar rows in a table without a target."""
