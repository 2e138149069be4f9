"""The outside of the room: the lease bucket, the vault, the router, the clock."""
