"""Targets from events in the lake's jobs: which events an interval needs, and what was labelled."""
