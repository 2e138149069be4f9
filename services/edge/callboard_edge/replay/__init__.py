"""Recorded calls run again on another version of their playbook, and their results compared."""
