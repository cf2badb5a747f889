"""Signed models, the audit log, and scans for pickles."""
