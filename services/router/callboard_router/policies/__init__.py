"""Policies: who may use what, decided once per change and looked up per request."""
