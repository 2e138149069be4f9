"""Times of the week at which a policy allows anything. Pure; instants are aware datetimes, zones those of the IANA."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from callboard.contracts.policy_definitions import DAYS, Window

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_DAY = 24 * 60


def minutes_of(clock: str) -> int | None:
    """`08:30` as minutes since midnight, `24:00` as the end of the day; None for anything else."""
    if _CLOCK.fullmatch(clock) is None:
        return None
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def zone_of(name: str) -> ZoneInfo | None:
    """A zone by its name; None where there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


def open_at(windows: Sequence[Window], instant: datetime) -> bool:
    """Whether one of them is open; the start belongs to a window, the end does not."""
    return any(begin <= instant < end for window in windows for begin, end in _occurrences(window, instant))


def next_change(windows: Sequence[Window], instant: datetime) -> datetime:
    """The first instant after this one at which a window opens or closes; within eight days there always is one.

    Windows that touch change nothing there: whoever wakes up finds that out.
    """
    return min(
        edge
        for window in windows
        for occurrence in _occurrences(window, instant)
        for edge in occurrence
        if edge > instant
    )


def _occurrences(window: Window, instant: datetime) -> Iterator[tuple[datetime, datetime]]:
    zone: tzinfo = zone_of(window.zone) or UTC
    start, end = minutes_of(window.start) or 0, minutes_of(window.end) or 0
    length = end - start if end > start else _DAY - start + end
    today = instant.astimezone(zone).date()
    for offset in range(-1, 9):  # what began yesterday may last until today
        day = today + timedelta(days=offset)
        if DAYS[day.weekday()] in window.days:
            yield _at(day, start, zone), _at(day, start + length, zone)


def _at(day: date, minutes: int, zone: tzinfo) -> datetime:
    """That time on the wall clock, as an instant: on days with another length too."""
    wall = datetime.combine(day + timedelta(days=minutes // _DAY), datetime.min.time())
    wall += timedelta(minutes=minutes % _DAY)
    return wall.replace(tzinfo=zone).astimezone(UTC)
