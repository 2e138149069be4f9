"""The authsvc: organisations, client tokens, analytics consumers and the vault."""
