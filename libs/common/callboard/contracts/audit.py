"""The log as evidence: its rows as they are hashed, the signed head of a moment, and what verifying found.

The hash of a row is described in `callboard.kernel.chain`. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

EXPORT_FORMAT = "callboard-log-1"


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """That the event `seq` had this hash (hex) at some time: what an anchor says."""

    seq: int
    hash: str


class VerifyAudit(msgspec.Struct, frozen=True, kw_only=True, tag="audit.verify", tag_field="type"):
    """Recompute the hash chain of an organisation (or of all, when empty) from the stored rows.

    With `witnesses` of one organisation the chain must also have those hashes.
    """

    organisation: str = ""
    witnesses: tuple[Witness, ...] = ()


class ChainVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One organisation's chain: intact up to `seq`, or broken at `broken_at`."""

    organisation: str
    events: int
    seq: int
    head: str
    intact: bool
    broken_at: int | None = None
    reason: str = ""


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True, tag="audit.verdict", tag_field="type"):
    """Answer to `VerifyAudit`."""

    chains: tuple[ChainVerdict, ...]
    intact: bool


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event exactly as it was hashed; ids are UUIDs as text, hashes are hex."""

    seq: int
    event_id: str
    stream: str
    version: int
    type: str
    schema_version: int
    payload: str
    meta: str
    command_id: str
    recorded_at: datetime
    prev_hash: str
    hash: str


class AskLogRows(msgspec.Struct, frozen=True, kw_only=True, tag="audit.rows?", tag_field="type"):
    """Rows of an organisation's log after `after` (exclusive), in their order: as many as fit one answer."""

    organisation: str
    after: int = 0
    limit: int = 200


class LogRows(msgspec.Struct, frozen=True, kw_only=True, tag="audit.rows", tag_field="type"):
    """Answer to `AskLogRows`, with the head of the log as it is now."""

    rows: tuple[LogRow, ...]
    head: Witness


class SignAnchor(msgspec.Struct, frozen=True, kw_only=True, tag="audit.sign_anchor", tag_field="type"):
    """edge > authsvc: read the head of an organisation's log and sign it."""

    organisation: str


class Anchor(msgspec.Struct, frozen=True, kw_only=True, tag="audit.anchor", tag_field="type"):
    """A signed head: to be kept where nobody who can write the database can write.

    `signature` is Ed25519 (RFC 8032) over `callboard.kernel.anchors.statement`, hex as `public_key` is.
    """

    organisation: str
    seq: int
    hash: str
    signed_at: datetime
    public_key: str
    signature: str
