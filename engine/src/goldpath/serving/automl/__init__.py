"""AutoML over HTTP: its routes, and its jobs in the background."""
