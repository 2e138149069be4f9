"""Signatures of webhooks as Standard Webhooks 1.0 has them (Svix sends the same): HMAC-SHA-256, `v1,<base64>`.

What is signed is `<id>.<timestamp>.<body>`: so neither can be exchanged, and a message that comes late is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

TOLERANCE: Final = 300
"""Seconds by which the time of a message may differ from ours."""
_PREFIX: Final = "whsec_"
MIN_KEY_BYTES: Final = 16


def key_of(secret: str) -> bytes:
    """The key in a secret, `whsec_` and base64; raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(_PREFIX) or len(key) < MIN_KEY_BYTES:
        raise ValueError(f"a webhook secret is {_PREFIX} and at least {MIN_KEY_BYTES} bytes in base64")
    return key


def signature_of(key: bytes, id: str, timestamp: str, body: bytes) -> str:
    """What the sender puts into `webhook-signature`."""
    digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def is_genuine(key: bytes, id: str, timestamp: str, signatures: str, body: bytes, now: float) -> bool:
    """Whether one of the `signatures` (with spaces between them) is right, and the message is of this moment."""
    if not id or not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 12:
        return False
    if abs(now - int(timestamp)) > TOLERANCE:
        return False
    wanted = signature_of(key, id, timestamp, body).encode()
    # All of them, so that the time does not tell which one was right.
    return any([hmac.compare_digest(given.encode(), wanted) for given in signatures.split(" ")])
