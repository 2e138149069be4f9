"""Which servers are wanted, folded from the log."""
