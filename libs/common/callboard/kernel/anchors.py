"""What an anchor signs, and whether its signature holds (Ed25519, RFC 8032)."""

from __future__ import annotations

from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callboard.contracts.audit import Anchor

_TITLE = "callboard anchor v1"


def statement(organisation: str, seq: int, hash: str, signed_at: datetime) -> bytes:
    """The bytes that are signed: five lines."""
    return "\n".join((_TITLE, organisation, str(seq), hash, signed_at.isoformat(), "")).encode()


def is_genuine(anchor: Anchor) -> bool:
    """Whether the anchor was signed with the private half of the key that it names."""
    said = statement(anchor.organisation, anchor.seq, anchor.hash, anchor.signed_at)
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(anchor.public_key)).verify(
            bytes.fromhex(anchor.signature), said
        )
    except (InvalidSignature, ValueError):
        return False
    return True
