"""The file of an exported log: one JSON object a line. First what it is, then every event, last the head.

`bin/verify-export` checks the same with nothing but Python.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from callboard.contracts.audit import EXPORT_FORMAT, LogRow, Witness
from callboard.contracts.events import PersonErased, decode_event
from callboard.kernel.chain import Break, Chain, Head, Link


class _First(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    organisation: str


class _Last(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    head: Witness


_encode = msgspec.json.Encoder().encode
_first = msgspec.json.Decoder(_First).decode
_row = msgspec.json.Decoder(LogRow).decode
_last = msgspec.json.Decoder(_Last).decode
_ERASED = b'"type":"person.erased"'


class Checked(NamedTuple):
    """What the check of an export found."""

    chain: Chain
    broken: Break | None


class NotAnExport(Exception):
    """The text is no exported log; the words say which line is not."""


def first_line(organisation: str) -> bytes:
    """Says what the file is."""
    return _encode(_First(EXPORT_FORMAT, organisation)) + b"\n"


def row_line(row: LogRow) -> bytes:
    """One event."""
    return _encode(row) + b"\n"


def last_line(head: Witness) -> bytes:
    """The end: without it the file is not whole."""
    return _encode(_Last(head)) + b"\n"


def check(lines: Iterable[bytes], witnesses: Iterable[Witness] = ()) -> Checked:
    """Recompute the chain of an export; raises `NotAnExport`. A break names the first `seq` that is not as it was."""
    remaining = iter(lines)
    chain = Chain(_organisation(next(remaining, b"")), {witness.seq: witness.hash for witness in witnesses})
    head = _follow(chain, remaining)
    if chain.broken is None and head is None:
        chain.broken = Break(chain.seq + 1, "cut off: the last line, with the head, is missing")
    elif head is not None:
        streams = chain.versions
        chain.close(Head(seq=head.seq, hash=bytes.fromhex(head.hash), read_up_to=head.seq, streams=streams))
    return Checked(chain, chain.broken)


def erased_in(lines: Iterable[bytes]) -> set[tuple[str, str]]:
    """Whom the log erased, as (organisation, person); raises `NotAnExport`, also for a log that is not intact."""
    kept: list[bytes] = []

    def heard() -> Iterator[bytes]:
        for line in lines:
            if _ERASED in line:
                kept.append(line)
            yield line

    chain, broken = check(heard())
    if broken is not None:
        raise NotAnExport(f"it is broken at event {broken.seq}: {broken.reason}")
    events = [decode_event(_row(line).payload) for line in kept]
    return {(chain.organisation, event.person) for event in events if isinstance(event, PersonErased)}


def _organisation(line: bytes) -> str:
    try:
        found = _first(line)
    except msgspec.DecodeError:
        found = None
    if found is None or found.format != EXPORT_FORMAT or _encode(found) != line.rstrip(b"\r\n"):
        raise NotAnExport(f"line 1: no exported log ({EXPORT_FORMAT}) begins like this")
    return found.organisation


def _follow(chain: Chain, lines: Iterator[bytes]) -> Witness | None:
    for number, line in enumerate(lines, 2):
        if line.startswith(b'{"head"'):
            try:
                return _last(line).head
            except msgspec.DecodeError:
                raise NotAnExport(f"line {number}: the head is not readable") from None
        if chain.broken is None:
            link = link_of(line, number, chain)
            if link is None:
                chain.broken = Break(chain.seq + 1, "its line is not as an export writes it")
            else:
                chain.extend([link])
    return None


def link_of(line: bytes, number: int, chain: Chain) -> Link | None:
    """The row of a line; one that cannot be read stands for the event that must be there, edited.

    None for a line that no export has: what stands in it twice, or besides, is covered by no hash.
    """
    try:
        row = _row(line)
        if _encode(row) != line.rstrip(b"\r\n"):
            return None
        return Link(
            seq=row.seq,
            event_id=uuid.UUID(row.event_id),
            stream=row.stream,
            version=row.version,
            type=row.type,
            schema_version=row.schema_version,
            payload=row.payload,
            meta=row.meta,
            command_id=uuid.UUID(row.command_id),
            recorded_at=row.recorded_at,
            prev_hash=bytes.fromhex(row.prev_hash),
            hash=bytes.fromhex(row.hash),
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise NotAnExport(f"line {number}, where event {chain.seq + 1} must be: {error}") from None
