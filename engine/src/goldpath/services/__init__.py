"""Servers on this machine: start, wait until healthy, stop, and leave nothing behind."""
