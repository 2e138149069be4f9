"""Call ids: the time in milliseconds, the process, a number. They sort by time and lead to their record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_TIME = 11
_HEX = frozenset("0123456789abcdef")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_call_id(received: int, process: str, number: int) -> str:
    """The id of a call that came at `received` (epoch microseconds)."""
    return f"{received // 1000:011x}{process}{number:06x}"


def time_of_call(call_id: str) -> datetime | None:
    """The millisecond in which a call came; None for what is no call id."""
    text = call_id[:_TIME]
    if len(text) < _TIME or not _HEX.issuperset(text):
        return None
    return _EPOCH + timedelta(milliseconds=int(text, 16))
