"""Several key-encryption keys, of which the first wraps and all unwrap: how one follows another without a pause.

Put the new file behind the old one, restart, put it first, restart; when the data keys are wrapped under it (the log
says so within minutes), take the old one away. See `CALLBOARD_AUTHSVC_WRAPPING_KEY_FILES`.
"""

from __future__ import annotations

from collections.abc import Sequence

from callboard_authsvc.vault.keys import KeyEncryption
from callboard_authsvc.vault.sealing import NotOpened


class KeyRing:
    """A `KeyEncryption` of several."""

    def __init__(self, keys: Sequence[KeyEncryption]) -> None:
        self._keys = {key.current(): key for key in reversed(keys)}
        self._first = keys[0]

    def current(self) -> str:
        """The id of the first."""
        return self._first.current()

    @property
    def known(self) -> frozenset[str]:
        """The ids of all."""
        return frozenset(self._keys)

    async def wrap(self, data_key: bytes, context: tuple[str, ...]) -> bytes:
        """Under the first."""
        return await self._first.wrap(data_key, context)

    async def unwrap(self, key_id: str, wrapped: bytes, context: tuple[str, ...]) -> bytes:
        """By the one that wrapped it; raises `NotOpened`."""
        key = self._keys.get(key_id)
        if key is None:
            raise NotOpened
        return await key.unwrap(key_id, wrapped, context)
