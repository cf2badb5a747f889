"""Window features: aggregates of a source's rows by entity, before a time, the same everywhere."""
