"""Several models in one project: the folders `models/NAME`, and which of them counts."""
