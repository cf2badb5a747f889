"""The project's package: one contract, one command line, one lake, one registry."""
