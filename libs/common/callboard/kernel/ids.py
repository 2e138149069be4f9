"""Identifiers made in the client, so that nothing depends on a database version. Time and chance come in."""

from __future__ import annotations

import uuid


def uuid7(milliseconds: int, random_bytes: bytes) -> uuid.UUID:
    """A version 7 UUID (RFC 9562 section 5.7) of a Unix time in ms and 10 random bytes."""
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random_bytes[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def command_uuid(command_id: str) -> uuid.UUID:
    """The UUID under which a command is remembered: a UUID as it is, any other text by its SHA-1 name."""
    try:
        return uuid.UUID(command_id)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, command_id)
