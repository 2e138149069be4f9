"""Load, CPU accounting and comparisons."""
