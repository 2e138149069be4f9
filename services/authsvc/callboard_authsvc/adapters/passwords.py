"""argon2id (RFC 9106, the low-memory parameters: 64 MiB, three passes) in threads, a few at a time."""

from __future__ import annotations

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_AT_ONCE: Final = 2
"""Each takes 64 MiB and some 100 ms of a core; whoever comes later waits."""


class Passwords:
    """Hashes and verifies; the time does not tell whether there was anything to compare with."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """The encoded hash with its parameters and salt."""
        async with self._room:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fits(self, password: str, stored: str | None) -> bool:
        """Whether this is the password behind the hash; None takes as long and fits nothing."""
        if stored is None and not self._nobody:
            self._nobody = await self.hash("nobody has this password")
        async with self._room:
            return await asyncio.to_thread(self._verified, password, stored or self._nobody) and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with weaker parameters than those of today."""
        return self._hasher.check_needs_rehash(stored)

    def _verified(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
