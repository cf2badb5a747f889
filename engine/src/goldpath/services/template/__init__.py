"""The template that a project was generated from, and the way to a newer version of it."""
