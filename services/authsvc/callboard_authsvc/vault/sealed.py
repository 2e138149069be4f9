"""Seal values that are not named secrets (tokens of upstreams, say) with the data key of their organisation."""

from __future__ import annotations

from callboard.contracts.problems import Problem
from callboard_authsvc.clock import Chance
from callboard_authsvc.vault.data_keys import DataKeys
from callboard_authsvc.vault.sealing import NONCE_BYTES, NotOpened, open_sealed, seal

_FORM = b"\x01"
_VERSION_BYTES = 4
_HEAD_BYTES = len(_FORM) + _VERSION_BYTES


class Sealer:
    """A sealed value: a byte for its form, the version of the data key (4 bytes, big-endian), the nonce, the rest."""

    def __init__(self, data_keys: DataKeys, chance: Chance) -> None:
        self._data_keys = data_keys
        self._chance = chance

    async def seal(self, organisation: str, place: tuple[str, ...], value: bytes) -> bytes:
        """The value, which opens for this organisation and in this place only."""
        nonce = self._chance(NONCE_BYTES)
        newest = await self._data_keys.ensured(organisation)
        head = _FORM + newest.version.to_bytes(_VERSION_BYTES, "big")
        return head + nonce + seal(newest.key, nonce, value, (organisation, *place))

    async def open(self, organisation: str, place: tuple[str, ...], sealed: bytes) -> bytes:
        """The value; raises `Problem("secret.unreadable")`."""
        version = int.from_bytes(sealed[len(_FORM) : _HEAD_BYTES], "big")
        data_key = await self._data_keys.existing(organisation, version)
        try:
            if data_key is None or sealed[:1] != _FORM:
                raise NotOpened
            nonce, rest = sealed[_HEAD_BYTES : _HEAD_BYTES + NONCE_BYTES], sealed[_HEAD_BYTES + NONCE_BYTES :]
            return open_sealed(data_key.key, nonce, rest, (organisation, *place))
        except NotOpened:
            words = f"a sealed value of {organisation} does not open with its data key"
            raise Problem("secret.unreadable", words) from None
