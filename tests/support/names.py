"""Names that no other test uses."""

from __future__ import annotations

import os


def fresh(prefix: str) -> str:
    """A slug of its own."""
    return f"{prefix}-{os.urandom(4).hex()}"
