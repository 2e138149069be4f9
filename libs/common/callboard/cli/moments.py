"""Times as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from callboard.cli.refusals import WrongUsage

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGO = re.compile(r"(\d+)([smhdw])(?: ago)?")
_AFTER = re.compile(r"(?:in )?(\d{1,7})([smhdw])")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
_FORMS = "like 2026-11-20T14:05, 14:05, '14:05 yesterday', '14:05 last tuesday' or '2h ago'"


def moment_of(text: str, now: datetime) -> datetime:
    """The time that is meant, with its zone; without one it is the zone of `now`. Raises `WrongUsage`."""
    words = text.strip().lower()
    ago = _AGO.fullmatch(words)
    if ago is not None:
        return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return _spoken(words, now)
    return found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo or UTC)


def moment_to_come(text: str, now: datetime) -> datetime:
    """A time after `now`, said as how long from now (`2h`, `15m`, `1d`) or as a date; raises `WrongUsage`."""
    words = text.strip().lower()
    after = _AFTER.fullmatch(words)
    if after is not None:
        return now + timedelta(seconds=int(after[1]) * _UNITS[after[2]])
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise WrongUsage(f"{words!r} is no time to come; write one like 2h, 15m or 2026-11-20T18:00") from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo or UTC)
    if found <= now:
        raise WrongUsage(f"{words!r} is over")
    return found


def _spoken(words: str, now: datetime) -> datetime:
    clock, _, day = words.partition(" ")
    match = _CLOCK.fullmatch(clock)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59 or int(match[3] or 0) > 59:
        raise WrongUsage(f"{words!r} is no time; write one {_FORMS}")
    at = now.replace(hour=int(match[1]), minute=int(match[2]), second=int(match[3] or 0), microsecond=0)
    return at - timedelta(days=_days_back(day.removeprefix("last ").strip(), words, now))


def _days_back(day: str, words: str, now: datetime) -> int:
    if day in ("", "today"):
        return 0
    if day == "yesterday":
        return 1
    if day not in _DAYS:
        raise WrongUsage(f"{words!r} is no time; write one {_FORMS}")
    # "Last Tuesday" said on a Tuesday is the one a week ago.
    return (now.weekday() - _DAYS.index(day)) % 7 or 7
