"""The border to whoever keeps the key-encryption key: a file now, a key management service later."""

from __future__ import annotations

from typing import Protocol


class KeyEncryption(Protocol):
    """Wraps data keys. The key that does it never comes out.

    `context` is bound to the wrapped key: it opens with the same context only. `unwrap` raises
    `callboard_authsvc.vault.sealing.NotOpened`.
    """

    def current(self) -> str:
        """The id of the key that `wrap` uses now; stored beside what it wrapped."""

    async def wrap(self, data_key: bytes, context: tuple[str, ...]) -> bytes:
        """The data key, encrypted."""

    async def unwrap(self, key_id: str, wrapped: bytes, context: tuple[str, ...]) -> bytes:
        """The data key that was wrapped under `key_id`."""
