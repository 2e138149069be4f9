"""Seal values that are not named secrets (tokens of upstreams, say) with the data key of their organisation."""

from __future__ import annotations

from callboard.contracts.problems import Problem
from callboard_authsvc.clock import Chance
from callboard_authsvc.vault.data_keys import DataKeys
from callboard_authsvc.vault.sealing import NONCE_BYTES, NotOpened, open_sealed, seal

_FORM = b"\x01"


class Sealer:
    """A sealed value is a byte for its form, the nonce, and what AES-256-GCM makes of it in its place."""

    def __init__(self, data_keys: DataKeys, chance: Chance) -> None:
        self._data_keys = data_keys
        self._chance = chance

    async def seal(self, organisation: str, place: tuple[str, ...], value: bytes) -> bytes:
        """The value, which opens for this organisation and in this place only."""
        nonce = self._chance(NONCE_BYTES)
        key = await self._data_keys.ensured(organisation)
        return _FORM + nonce + seal(key, nonce, value, (organisation, *place))

    async def open(self, organisation: str, place: tuple[str, ...], sealed: bytes) -> bytes:
        """The value; raises `Problem("secret.unreadable")`."""
        key = await self._data_keys.existing(organisation)
        try:
            if key is None or sealed[:1] != _FORM:
                raise NotOpened
            nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
            return open_sealed(key, nonce, rest, (organisation, *place))
        except NotOpened:
            words = f"a sealed value of {organisation} does not open with its data key"
            raise Problem("secret.unreadable", words) from None
