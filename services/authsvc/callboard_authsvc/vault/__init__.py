"""The vault: secrets of servers. A key file wraps a data key per organisation, which seals the values."""
