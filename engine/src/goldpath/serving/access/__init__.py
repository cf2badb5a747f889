"""Who asks, what each may do, and how often: keys, users, tokens, roles and limits."""
