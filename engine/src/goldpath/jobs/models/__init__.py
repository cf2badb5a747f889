"""Further models of a project: how one is added, and what is said of each."""
