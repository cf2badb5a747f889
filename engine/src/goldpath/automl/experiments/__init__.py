"""Searches that are kept: as files of a project, and as runs in MLflow."""
