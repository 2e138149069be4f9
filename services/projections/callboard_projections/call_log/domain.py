"""What makes a line of a message a call record that can be kept, and on which day it belongs. Pure."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import msgspec

from callboard.contracts import subjects
from callboard.contracts.calls import CallRecord, decode_record
from callboard.contracts.problems import Problem

AHEAD = timedelta(days=2)
"""Clocks of connectors may be wrong, but not by more."""

_TEXTS = (
    "call_id",
    "organisation",
    "playbook",
    "method",
    "server",
    "tool",
    "upstream_name",
    "digest",
    "client",
    "principal",
    "era",
    "upstream_era",
    "outcome",
    "problem",
    "trace_id",
    "connector",
    "replay_of",
)
_SIZES = ("router_us", "connector_us", "upstream_us", "total_us", "request_bytes", "response_bytes")
COLUMNS = ("started_at", *_TEXTS, "version", "error_code", *_SIZES)
LONGEST = 500
"""Texts are cut here: a URI may be of any length, the entry of an index may not."""

Row = tuple[object, ...]
"""One row of `cb.call`, in the order of `COLUMNS`, and after them what `cb.call_content` keeps of it, or None."""
PARENTS = {"call": "call_", "call_content": "content_"}
"""The tables with a partition a day -> how those are called."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT4, _INT8 = 2**31 - 1, 2**63 - 1


class RecordRefused(Exception):
    """The line is not a call record that can be kept; the text says why, without its content."""


def read_record(subject: str, line: bytes, now: datetime, keep: timedelta) -> CallRecord:
    """Decode and check one line of a message. A record must stand under its own organisation's subject."""
    try:
        record = decode_record(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise RecordRefused("it is not a call record") from None
    if not subject.startswith(f"{subjects.RECORD}.{record.organisation}."):
        raise RecordRefused("it stands under the subject of another organisation")
    if record.started_at.tzinfo is None:
        raise RecordRefused("its time has no zone")
    if not now - keep <= record.started_at <= now + AHEAD:
        raise RecordRefused("its time is out of range")
    # The version of a candidate is negative.
    if not (record.call_id and -_INT4 <= record.version <= _INT4 and _fits(record)):
        raise RecordRefused("a number of it is out of range")
    return record


_sizes = operator.attrgetter(*_SIZES)


def _fits(record: CallRecord) -> bool:
    sizes = _sizes(record)
    return min(sizes) >= 0 and max(sizes) <= _INT8 and abs(record.error_code or 0) <= _INT4


_values = operator.attrgetter(*COLUMNS)
_texts = operator.itemgetter(slice(1, 1 + len(_TEXTS)))


def row_of(record: CallRecord) -> Row:
    """The row; JSON may carry U+0000, a text column may not."""
    values = _values(record)
    together = "".join(_texts(values))
    if len(together) > LONGEST or "\x00" in together:
        values = tuple(_storable(value) if type(value) is str else value for value in values)
    content = None if record.content is None else msgspec.json.encode(record.content).decode()
    return (*values, content)


def _storable(text: str) -> str:
    return text.replace("\x00", "\ufffd")[:LONGEST]


def at_once(count: int, most: int) -> int:
    """How many of `count` rows to write at a time: at most so many, and about as many each time."""
    return -(-count // max(1, -(-count // most)))


def cursor_after(record: CallRecord) -> str:
    """What asks for the calls that come after this one in a list: its time in epoch microseconds and its id."""
    return f"{(record.started_at - _EPOCH) // timedelta(microseconds=1)}_{record.call_id}"


def position_of(cursor: str) -> tuple[datetime | None, str]:
    """Where a cursor stands; (None, "") for none. Raises `argument.invalid`."""
    if not cursor:
        return None, ""
    time, _, call_id = cursor.partition("_")
    if not (time.isascii() and time.isdigit()) or len(time) > 16 or not call_id:
        raise Problem("argument.invalid", "the cursor is not one of an answer to this question")
    return _EPOCH + timedelta(microseconds=int(time)), call_id


def day_of(moment: datetime) -> date:
    """The day, in UTC, whose partition holds this moment."""
    return moment.astimezone(UTC).date()


def partition_of(day: date, parent: str = "call") -> str:
    """The name of a day's partition."""
    return f"{PARENTS[parent]}{day:%Y%m%d}"


def bounds_of(day: date) -> tuple[str, str]:
    """From (inclusive) and to (exclusive) of a day's partition, as timestamps with zone."""
    return f"{day.isoformat()} 00:00:00+00", f"{(day + timedelta(days=1)).isoformat()} 00:00:00+00"


def expired(partitions: Iterable[str], today: date, keep: timedelta) -> list[str]:
    """The partitions whose every record is older than `keep`; names that are not ours are left alone."""
    oldest = f"{today - keep:%Y%m%d}"
    return sorted(
        name
        for name in partitions
        for prefix, _, day in [name.rpartition("_")]
        if f"{prefix}_" in PARENTS.values() and len(day) == len(oldest) and day.isdigit() and day < oldest
    )
