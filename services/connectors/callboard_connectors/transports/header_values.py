"""How a text becomes a header value (MCP 2026-07-28, transports, "value encoding"); pure."""

from __future__ import annotations

import base64
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
