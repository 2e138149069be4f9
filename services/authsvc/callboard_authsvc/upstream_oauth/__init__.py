"""Callboard as OAuth client of upstream servers: discovery, registration, consent, tokens. Rules: `domain.py`."""
