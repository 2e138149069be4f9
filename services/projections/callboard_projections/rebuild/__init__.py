"""Fold a projection again from zero beside the live tables, compare, and switch without a failed read."""
