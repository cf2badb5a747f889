"""Promotion, rollback, traffic shares, and what the registry's commands show."""
