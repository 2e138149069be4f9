"""Registered servers and what they were last seen to offer."""
