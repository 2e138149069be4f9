"""The hash chain of one organisation, as rows come by: pure, and independent of the SQL function that made it.

The hash of an event is SHA-256 over the hash before it, the fixed-width fields big-endian, and the SHA-256 of each
text field (`cb.event_hash` in migration 0001 says the same in SQL). It proves that nothing in between was changed;
a log that was rewritten from some point to its end, head row included, needs an anchor outside the database.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

GENESIS = bytes(32)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Link(msgspec.Struct, frozen=True):
    """One row of `cb.event`."""

    seq: int
    event_id: uuid.UUID
    stream: str
    version: int
    type: str
    schema_version: int
    payload: str
    meta: str
    command_id: uuid.UUID
    recorded_at: datetime
    prev_hash: bytes
    hash: bytes


class Head(msgspec.Struct, frozen=True):
    """What else the database knows of the log: the head row (None: missing), how far its readers came, its streams."""

    seq: int | None
    hash: bytes
    read_up_to: int
    streams: Mapping[str, int]


class Break(msgspec.Struct, frozen=True):
    """The first place where the log is not what was appended."""

    seq: int
    reason: str


def event_hash(prev: bytes, organisation: str, link: Link) -> bytes:
    """The SHA-256 that the event must have."""
    digest = hashlib.sha256(prev)
    digest.update(struct.pack(">q", link.seq))
    digest.update(link.event_id.bytes)
    digest.update(struct.pack(">qi", link.version, link.schema_version))
    digest.update(link.command_id.bytes)
    digest.update(struct.pack(">q", (link.recorded_at - _EPOCH) // _MICROSECOND))
    for text in (organisation, link.stream, link.type, link.payload, link.meta):
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.digest()


class Chain:
    """The chain up to the last intact event; `broken` is the first break found.

    `witnesses`: seq -> the hash (hex) that the event had when somebody wrote it down elsewhere.
    """

    def __init__(self, organisation: str, witnesses: Mapping[int, str] | None = None) -> None:
        self.organisation = organisation
        self._witnesses = witnesses or {}
        self.seq = 0
        self.hash = GENESIS
        self.broken: Break | None = None
        self._versions: dict[str, int] = {}

    @property
    def versions(self) -> Mapping[str, int]:
        """Stream -> the version it is at."""
        return self._versions

    def extend(self, links: Iterable[Link]) -> None:
        """Check the next rows in the order of `seq`; nothing more after a break."""
        for link in links:
            if self.broken is not None:
                return
            self.broken = self._check(link)
            if self.broken is None:
                self.seq, self.hash = link.seq, link.hash
                self._versions[link.stream] = link.version

    def _check(self, link: Link) -> Break | None:
        expected = self.seq + 1
        if link.seq != expected:
            return Break(expected, f"deleted: the next event there is has seq {link.seq}")
        if link.prev_hash != self.hash:
            return Break(expected, "reordered or replaced: it does not hold the hash of the event before it")
        if event_hash(self.hash, self.organisation, link) != link.hash:
            return Break(expected, "edited: its content does not have its hash")
        version = self._versions.get(link.stream, 0) + 1
        if link.version != version:
            return Break(expected, f"its stream goes from version {version - 1} to {link.version}")
        if self._witnesses.get(link.seq, link.hash.hex()) != link.hash.hex():
            return Break(expected, "rewritten: an anchor says that it had another hash")
        return None

    def close(self, head: Head) -> Break | None:
        """Compare the end of the chain with what else the database knows of it."""
        if self.broken is None:
            self.broken = self._check_end(head)
        return self.broken

    def _check_end(self, head: Head) -> Break | None:
        if head.seq is None:
            return Break(self.seq or 1, "the log has no head row")
        if head.seq > self.seq:
            return Break(self.seq + 1, f"truncated: the head row says that there are {head.seq} events")
        if head.seq < self.seq:
            return Break(head.seq + 1, f"the head row says that there are only {head.seq} events")
        beyond = [seq for seq in self._witnesses if seq > self.seq]
        if beyond:
            return Break(self.seq + 1, f"truncated: an anchor knows event {min(beyond)}")
        if head.hash != self.hash:
            return Break(self.seq, "the head row holds another hash than the last event")
        if head.read_up_to > self.seq:
            return Break(self.seq + 1, f"truncated: {head.read_up_to} events had been read before")
        wrong = sorted(name for name in head.streams if head.streams[name] != self._versions.get(name, 0))
        missing = sorted(self._versions.keys() - head.streams.keys())
        if wrong or missing:
            return Break(self.seq, f"the stream table disagrees about {(wrong or missing)[0]}")
        return None
