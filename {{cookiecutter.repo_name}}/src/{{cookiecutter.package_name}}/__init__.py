"""What this project predicts, from which data, and how: see `project.py` for its table of contents."""
