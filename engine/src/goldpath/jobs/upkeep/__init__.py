"""The status of a project, and moving the service's logs into the lake."""
