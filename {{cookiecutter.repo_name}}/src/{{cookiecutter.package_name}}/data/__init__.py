"""Where this project's data lies."""
