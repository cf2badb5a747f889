"""What this project predicts, from which data, and how; `project.py` is its table of contents."""
