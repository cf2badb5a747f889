"""Telling other systems what happened: our own messages, and those that MLflow's server sends."""
