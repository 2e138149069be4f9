"""Decode, one call, reply."""
