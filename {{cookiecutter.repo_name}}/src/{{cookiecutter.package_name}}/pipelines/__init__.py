"""Recipes: each module reads top to bottom as the steps of one job."""
