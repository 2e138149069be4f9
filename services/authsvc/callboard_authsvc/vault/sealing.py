"""AES-256-GCM with length-prefixed associated data: a sealed value opens in its own place only.

Pure: nonces come in. A nonce of 12 random bytes is safe for some 2^32 values under one key, and every
organisation has its own.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
KEY_BYTES = 32


class NotOpened(Exception):
    """Another key, another place, or altered bytes; GCM does not tell which."""


def associated(parts: tuple[str, ...]) -> bytes:
    """The parts, each behind its length in 4 bytes big-endian: ("a", "bc") is not ("ab", "c")."""
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def seal(key: bytes, nonce: bytes, value: bytes, place: tuple[str, ...]) -> bytes:
    """Ciphertext and tag of a value for this place."""
    return AESGCM(key).encrypt(nonce, value, associated(place))


def open_sealed(key: bytes, nonce: bytes, sealed: bytes, place: tuple[str, ...]) -> bytes:
    """The value; raises `NotOpened`."""
    try:
        return AESGCM(key).decrypt(nonce, sealed, associated(place))
    except (InvalidTag, ValueError):
        raise NotOpened from None


def place_of_secret(organisation: str, secret: str, version: int) -> tuple[str, ...]:
    """Where one version of a secret belongs."""
    return ("callboard secret v1", organisation, secret, str(version))


def place_of_data_key(organisation: str, version: int = 1) -> tuple[str, ...]:
    """Where a version of an organisation's data key belongs. The first one is older than versions."""
    return (
        ("callboard data key v1", organisation)
        if version == 1
        else ("callboard data key v2", organisation, str(version))
    )
