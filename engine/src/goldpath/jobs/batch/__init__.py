"""Batch inference: rows of the lake or of files, scored with the champion."""
