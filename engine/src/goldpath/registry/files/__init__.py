"""Files of a version: as they are fetched, the pipeline in them, and those kept for an outage."""
