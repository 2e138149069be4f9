"""Judge the canaries that run from the records of calls."""
