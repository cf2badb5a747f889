"""Features that are computed of a row: in the lake, in batches and in the service."""
