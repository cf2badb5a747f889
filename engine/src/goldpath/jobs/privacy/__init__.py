"""Finding, exporting and erasing everything that is held about a person."""
