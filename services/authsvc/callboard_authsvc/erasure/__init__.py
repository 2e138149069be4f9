"""Persons: a key for each, which seals what names them in the log, and which can be destroyed."""
