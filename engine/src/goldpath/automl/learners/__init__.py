"""Models that an ensemble is made of: fitted on encoded columns, stopped at a deadline."""
