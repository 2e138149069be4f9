"""What the database has of a token: HMAC-SHA-256 under a pepper that is not in the database.

A slow password hash is not needed: a token is 190 random bits. The pepper keeps a copy of the table from
being matched with tokens found elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac

_NOBODY = bytes(32)


class Verifier:
    """Computes and compares verifiers."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    def of(self, token: str) -> bytes:
        """The 32 bytes to store for a token."""
        return hmac.digest(self._pepper, token.encode(), hashlib.sha256)

    def fits(self, token: str, stored: bytes | None) -> bool:
        """Whether the token is the one of this row, in the same time whatever the answer; None: no row."""
        return hmac.compare_digest(self.of(token), stored if stored is not None else _NOBODY) and stored is not None
