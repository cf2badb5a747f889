"""Alertmanager: who is told of alerts, the messages, silences, and what alerts set off."""
