"""Which worker owns which server: leases with a fencing generation."""
