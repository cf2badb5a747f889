"""The lakehouse on one machine: Iceberg with a SQLite catalog, DuckDB through Ibis."""
