"""A signing key as JOSE: made, opened, and its public half. Private halves leave this process sealed only."""

from __future__ import annotations

import msgspec
from joserfc.jwk import ECKey

from callboard.contracts.signing import SigningKeyLine
from callboard_authsvc.signing.domain import Fresh, Key

CURVE = "P-256"


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key as stored: the public half in the clear, the private one wrapped by the key `kek_id`."""

    kid: str
    x: str
    y: str
    kek_id: str
    wrapped: bytes

    def __repr__(self) -> str:
        return f"KeyRow(kid={self.kid!r})"


class Made(msgspec.Struct, frozen=True):
    """A new key: its half for everybody, and its private JWK as JSON."""

    fresh: Fresh
    x: str
    y: str
    private: bytes

    def __repr__(self) -> str:
        return f"Made({self.fresh.kid!r})"


def make(kid: str) -> Made:
    """Another key."""
    key = ECKey.generate_key(CURVE, {"kid": kid}, private=True)
    whole = key.as_dict(private=True)
    fresh = Fresh(kid=kid, thumbprint=key.thumbprint())
    return Made(fresh, str(whole["x"]), str(whole["y"]), msgspec.json.encode(whole))


def opened(private: bytes) -> ECKey:
    """The key behind a private JWK."""
    return ECKey.import_key(msgspec.json.decode(private))


def line_of(row: KeyRow, key: Key) -> SigningKeyLine:
    """What everybody may know."""
    return SigningKeyLine(kid=row.kid, x=row.x, y=row.y, signs_from=key.signs_from)


def place_of_signing_key(kid: str) -> tuple[str, ...]:
    """Where a wrapped signing key belongs."""
    return ("callboard signing key v1", kid)
