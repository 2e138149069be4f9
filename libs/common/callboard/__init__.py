"""Callboard: an MCP gateway whose every configuration is a version in an append-only log."""

__version__ = "0.1.0"
