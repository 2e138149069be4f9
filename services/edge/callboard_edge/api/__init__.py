"""The management API under `/api/v1`: every handler authenticates, checks permission, and asks the bus."""
