"""From the bus to one call of a verb, and back."""
