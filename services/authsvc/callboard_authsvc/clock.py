"""What the authsvc takes from outside of itself, so that tests can give it: the time and chance."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""The time now, with its zone."""

Chance = Callable[[int], bytes]
"""So many random bytes, fit for keys."""


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


system_chance: Chance = os.urandom
"""The random source of the operating system."""
