"""Requests as such: their bodies, errors, ids, traces and log lines."""
