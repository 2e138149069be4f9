"""The public keys that access tokens are checked with: asked of authsvc, kept for minutes, dropped when it says so."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec
from joserfc.jwk import ECKey

from callboard.contracts import signing_subjects as subjects
from callboard.contracts.signing import AskSigningKeys, SigningKeyLine, SigningKeys
from callboard.kernel.access_tokens import ALGORITHM
from callboard.platform.bus import Bus

KEPT_SECONDS: Final = 300.0
PAUSE_SECONDS: Final = 60.0
"""A key that is not known is asked for once in so many seconds, however many tokens name one."""


class SigningKeySet:
    """The set as this edge has it; `kid` means nothing but a place in it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._lines: tuple[SigningKeyLine, ...] = ()
        self._keys: dict[str, ECKey] = {}
        self._asked_at = float("-inf")
        self._changes = 0
        self._asking = asyncio.Lock()

    async def key(self, kid: str) -> ECKey | None:
        """The key of this id; None when there is none. Raises `bus.unavailable`."""
        await self._asked(KEPT_SECONDS)
        if kid not in self._keys:
            await self._asked(PAUSE_SECONDS)
        return self._keys.get(kid)

    async def jwks(self) -> bytes:
        """The set for others (RFC 7517). Raises `bus.unavailable`."""
        await self._asked(KEPT_SECONDS)
        return msgspec.json.encode({"keys": [_jwk(line) for line in self._lines]})

    def forget(self) -> None:
        """The set is another one now."""
        self._changes += 1
        self._asked_at = float("-inf")

    async def _asked(self, fresh: float) -> None:
        if time.monotonic() - self._asked_at < fresh:
            return
        async with self._asking:
            if time.monotonic() - self._asked_at < fresh:
                return  # somebody else asked meanwhile
            while True:
                changes = self._changes
                found = await self._bus.ask(subjects.SIGNING_KEYS, AskSigningKeys(), SigningKeys, 5.0)
                # The answer may be older than what was pushed while it was on its way.
                if changes == self._changes:
                    break
            self._lines, self._asked_at = found.keys, time.monotonic()
            self._keys = {line.kid: ECKey.import_key(_jwk(line)) for line in found.keys}


def _jwk(line: SigningKeyLine) -> dict[str, str | list[str]]:
    point: dict[str, str | list[str]] = {"kty": "EC", "crv": "P-256", "x": line.x, "y": line.y}
    return {**point, "kid": line.kid, "alg": ALGORITHM, "use": "sig"}
