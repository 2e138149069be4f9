"""Client tokens: who may come in. The value is shown once; the database has an HMAC of it only."""
