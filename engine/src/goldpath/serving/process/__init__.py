"""The processes: server, supervisor, and a service of its own for a check."""
