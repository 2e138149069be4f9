"""What makes a message a call record that can be kept, and on which day it belongs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import msgspec

from callboard.contracts import subjects
from callboard.contracts.calls import CallRecord, decode_record

AHEAD = timedelta(days=2)
"""Clocks of connectors may be wrong, but not by more."""

COLUMNS = (
    "started_at",
    "call_id",
    "organisation",
    "playbook",
    "version",
    "method",
    "server",
    "tool",
    "digest",
    "client",
    "era",
    "outcome",
    "total_us",
    "record",
)

Row = tuple[object, ...]
"""One row of `cb.call`, in the order of `COLUMNS`."""

_PREFIX = "call_"
_INT4, _INT8 = 2**31 - 1, 2**63 - 1


class RecordRefused(Exception):
    """The message is not a call record that can be kept; the text says why, without its content."""


def read_record(subject: str, data: bytes, now: datetime, keep: timedelta) -> CallRecord:
    """Decode and check one message. A record must stand under its own organisation's subject."""
    try:
        record = decode_record(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise RecordRefused("it is not a call record") from None
    if not subject.startswith(f"{subjects.RECORD}.{record.organisation}."):
        raise RecordRefused("it stands under the subject of another organisation")
    if record.started_at.tzinfo is None:
        raise RecordRefused("its time has no zone")
    if not now - keep <= record.started_at <= now + AHEAD:
        raise RecordRefused("its time is out of range")
    if not (record.call_id and 0 <= record.version <= _INT4 and 0 <= record.total_us <= _INT8):
        raise RecordRefused("a number of it is out of range")
    return record


def row_of(record: CallRecord, data: bytes) -> Row:
    """The row; JSON may carry U+0000, a text column may not."""
    texts = (record.call_id, record.organisation, record.playbook)
    more = (record.method, record.server, record.tool, record.digest, record.client, record.era, record.outcome)
    return (
        record.started_at,
        *map(_storable, texts),
        record.version,
        *map(_storable, more),
        record.total_us,
        data.decode(),
    )


def _storable(text: str) -> str:
    return text.replace("\x00", "\ufffd")


def day_of(moment: datetime) -> date:
    """The day, in UTC, whose partition holds this moment."""
    return moment.astimezone(UTC).date()


def partition_of(day: date) -> str:
    """The name of a day's partition."""
    return f"{_PREFIX}{day:%Y%m%d}"


def bounds_of(day: date) -> tuple[str, str]:
    """From (inclusive) and to (exclusive) of a day's partition, as timestamps with zone."""
    return f"{day.isoformat()} 00:00:00+00", f"{(day + timedelta(days=1)).isoformat()} 00:00:00+00"


def expired(partitions: Iterable[str], today: date, keep: timedelta) -> list[str]:
    """The partitions whose every record is older than `keep`; names that are not ours are left alone."""
    return sorted(
        name
        for name in partitions
        if name.startswith(_PREFIX)
        and len(name) == len(_PREFIX) + 8
        and name[len(_PREFIX) :].isdigit()
        and name < partition_of(today - keep)
    )
