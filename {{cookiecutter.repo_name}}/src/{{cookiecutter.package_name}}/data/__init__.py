"""Getting rows in: sources, the contract's checks, and the lakehouse."""
