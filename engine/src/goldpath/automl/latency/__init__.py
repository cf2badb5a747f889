"""How long a model takes for one row, and which ensemble is the best of those quick enough."""
