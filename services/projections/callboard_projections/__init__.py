"""The projections: relay the log to the bus, fold it into read models, keep the call log, verify the chain."""
