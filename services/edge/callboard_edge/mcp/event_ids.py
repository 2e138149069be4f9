"""The ids of server-sent events of handshake sessions; pure.

`<stream>.<request>.<number>`: the stream is known only together with its session, the request is the client's own
JSON-RPC id (base 64), so that a stream that is forgotten can still be answered. The session's own stream answers no
request; its name begins with `g` and the alias of the edge that holds it.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

import msgspec

_ID = re.compile(rb"([0-9a-z]{1,64})\.([A-Za-z0-9_-]{0,176})\.([0-9]{1,9})")
_OWN = re.compile(r"g([0-9a-f]{16})[0-9a-f]{16}")
LONGEST_REQUEST_ID = 128
"""Bytes of a request id that still fits; a stream of one that is longer cannot be resumed."""


class EventId(NamedTuple):
    """After which event a client goes on. `request` is the raw JSON id of the request that the stream answers."""

    stream: str
    request: bytes
    number: int


def prefix_of(stream: str, request: bytes = b"") -> bytes:
    """What all ids of a stream begin with; the number follows."""
    return stream.encode() + b"." + base64.urlsafe_b64encode(request).rstrip(b"=") + b"."


def parse(text: bytes) -> EventId | None:
    """The value of `Last-Event-ID`; None for what cannot be an id of ours."""
    found = _ID.fullmatch(text)
    if found is None:
        return None
    stream, request, number = found[1].decode(), found[2], int(found[3])
    if not request:
        return EventId(stream, b"", number) if holder_of(stream) else None
    try:
        raw = base64.urlsafe_b64decode(request + b"=" * (-len(request) % 4))
        # It goes into a message again: only what is an id of JSON-RPC, and in our own writing.
        return EventId(stream, msgspec.json.encode(msgspec.json.decode(raw, type=int | str)), number)
    except (ValueError, msgspec.DecodeError):
        return None


def own_stream(edge: str, nonce: str) -> str:
    """The name of a session's own stream at an edge; both are 16 hexadecimal digits."""
    return f"g{edge}{nonce}"


def holder_of(stream: str) -> str:
    """The alias of the edge that holds a session's own stream; empty for any other stream."""
    found = _OWN.fullmatch(stream)
    return found[1] if found else ""
