"""Resolve a request to a server, forward it, refuse it."""
