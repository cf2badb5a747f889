"""The contract's checks: raw text in, typed rows and rejected rows with their reasons out."""
