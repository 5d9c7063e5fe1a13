"""Feedback that other tools gathered, read into the same events; one module a format."""
