"""What the HTTP service answers beyond the engine's routes, and what it counts."""
