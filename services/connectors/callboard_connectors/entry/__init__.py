"""What comes in from the bus and the log: decode, one call into the room."""
