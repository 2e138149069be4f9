"""Postgres, files and NATS as the features see them. Made in `app.py` only."""
