"""Callboard and everything it is measured beside: how each is installed, configured and started."""
