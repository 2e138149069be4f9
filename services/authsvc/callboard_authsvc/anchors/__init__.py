"""Signed heads of the log, to be kept where the database cannot reach."""
