"""Rules about persons and their sessions, without any IO."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from callboard.contracts.layers import SYSTEM
from callboard.contracts.problems import Problem

MIN_PASSWORD, MAX_PASSWORD = 12, 128
MAX_EMAIL, MAX_NAME = 254, 100
SESSION_LIFE: Final = timedelta(days=7)
IDLE: Final = timedelta(hours=8)
IDLE_ADMINISTRATOR: Final = timedelta(minutes=30)
RESET_LIFE: Final = timedelta(hours=1)
ATTEMPT_WINDOW: Final = timedelta(minutes=15)
ATTEMPTS_PER_ACCOUNT: Final = 10
ATTEMPTS_PER_ADDRESS: Final = 50
_EMAIL = re.compile(r"[^@\s,;<>()\"\\]{1,64}@[^@\s,;<>()\"\\.]+(\.[^@\s,;<>()\"\\.]+)*")


def normal_email(email: str) -> str:
    """The form in which addresses are compared and stored."""
    return email.strip().lower()


def checked_email(email: str) -> str:
    """The address in its stored form; raises `argument.invalid` for a text that is none."""
    normal = normal_email(email)
    if len(normal) > MAX_EMAIL or not normal.isprintable() or _EMAIL.fullmatch(normal) is None:
        raise Problem("argument.invalid", "email: this is not an e-mail address", argument="email")
    return normal


def check_name(name: str) -> None:
    """Raise `argument.invalid` for a name that cannot be shown."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise Problem("argument.invalid", f"name: use at most {MAX_NAME} printable characters", argument="name")


def check_password(password: str, email: str) -> None:
    """Raise `argument.invalid` for a new password that is too short, endless, or the address itself."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        text = f"password: use {MIN_PASSWORD} to {MAX_PASSWORD} characters"
        raise Problem("argument.invalid", text, argument="password")
    if normal_email(password) == email:
        raise Problem("argument.invalid", "password: do not use your e-mail address", argument="password")


def seconds_to_wait(first: datetime, now: datetime) -> int:
    """Until the first of too many attempts does not count any more."""
    return max(1, math.ceil((first + ATTEMPT_WINDOW - now).total_seconds()))


def is_open(
    ended_at: datetime | None, expires_at: datetime, seen_at: datetime, administers: bool, now: datetime
) -> bool:
    """Whether a session is good at `now`: not ended, not too old, not idle for too long."""
    idle = IDLE_ADMINISTRATOR if administers else IDLE
    return ended_at is None and now < expires_at and now < seen_at + idle


def logs_of(organisations: Iterable[str], *, administers: bool) -> tuple[str, ...]:
    """Whose logs tell of a person: its organisations'; the installation's, without one or of who administers it."""
    named = tuple(sorted(organisations))
    return (*named, SYSTEM) if administers or not named else named
