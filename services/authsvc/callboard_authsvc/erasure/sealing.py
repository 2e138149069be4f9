"""AES-256-SIV (RFC 5297): deterministic, so that a text of a person always looks the same and needs no nonce. Pure.

What it gives away is which texts of one person are equal, and it is used for that.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from callboard.kernel.personal import join, sealed_part
from callboard_authsvc.vault.sealing import NotOpened

KEY_BYTES = 64
_LABEL = b"callboard personal v1"


def seal_text(key: bytes, organisation: str, person: str, text: str) -> str:
    """The sealed text, for this organisation and person only."""
    return join(person, AESSIV(key).encrypt(text.encode(), [_LABEL, organisation.encode(), person.encode()]))


def open_text(key: bytes, organisation: str, person: str, sealed: str) -> str:
    """The text; raises `NotOpened`."""
    try:
        place = [_LABEL, organisation.encode(), person.encode()]
        return AESSIV(key).decrypt(sealed_part(sealed), place).decode()
    except (InvalidTag, ValueError):
        raise NotOpened from None


def place_of_key(organisation: str, person: str) -> tuple[str, ...]:
    """Where the key of a person belongs."""
    return ("callboard person key v1", organisation, person)
