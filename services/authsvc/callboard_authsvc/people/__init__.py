"""Persons: how they prove who they are, and the sessions they then have."""
