"""The prediction log's parts: its segments, what it keeps of a person, and where it is sent."""
