"""The door: every step of a project is a command here, one module for each group of commands."""
