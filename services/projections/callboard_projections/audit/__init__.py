"""The hash chain of the log, recomputed from the stored rows."""
