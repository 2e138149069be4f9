"""Trying policies out before they are set."""
