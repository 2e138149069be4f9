"""How a text becomes a header value (MCP 2026-07-28, transports, "value encoding"); pure."""

from __future__ import annotations

import base64
import binascii
import re

_SAFE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_SENTINEL = re.compile(r"=\?base64\?.*\?=")


def encode_header_value(text: str) -> str:
    """The text itself when it survives as a header, else `=?base64?…?=` of its UTF-8.

    Not safe: control characters, anything beyond ASCII, white space at an edge, and what looks encoded already.
    """
    if not text or (_SAFE.fullmatch(text) and not _SENTINEL.fullmatch(text)):
        return text
    return f"=?base64?{base64.b64encode(text.encode('utf-8', 'surrogatepass')).decode('ascii')}?="


def decode_header_value(text: str) -> str | None:
    """The text that a header value stands for; None when it is encoded and not in the canonical form."""
    if not _SENTINEL.fullmatch(text):
        return text
    payload = text[9:-2]
    try:
        decoded = base64.b64decode(payload, validate=True)
        return decoded.decode() if base64.b64encode(decoded).decode() == payload else None
    except (binascii.Error, UnicodeDecodeError):
        return None
