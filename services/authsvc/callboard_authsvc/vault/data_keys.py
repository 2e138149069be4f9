"""The data key of each organisation: made at its first secret, stored wrapped, unwrapped for each use."""

from __future__ import annotations

from callboard.contracts.problems import Problem
from callboard_authsvc.adapters.secret_table import SecretTable
from callboard_authsvc.clock import Chance
from callboard_authsvc.vault.keys import KeyEncryption
from callboard_authsvc.vault.sealing import KEY_BYTES, NotOpened, place_of_data_key


class DataKeys:
    """Data keys in the table, opened by whoever keeps the key-encryption key."""

    def __init__(self, table: SecretTable, keys: KeyEncryption, chance: Chance) -> None:
        self._table = table
        self._keys = keys
        self._chance = chance

    async def existing(self, organisation: str) -> bytes | None:
        """The organisation's key; raises `Problem("secret.unreadable")`."""
        row = await self._table.data_key(organisation)
        if row is None:
            return None
        key_id, wrapped = row
        try:
            return await self._keys.unwrap(key_id, wrapped, place_of_data_key(organisation))
        except NotOpened:
            message = f"the data key of {organisation} was wrapped by another key-encryption key"
            raise Problem("secret.unreadable", message) from None

    async def ensured(self, organisation: str) -> bytes:
        """The organisation's key, made now if there was none. Of several made at once the first one stays."""
        key = await self.existing(organisation)
        if key is None:
            wrapped = await self._keys.wrap(self._chance(KEY_BYTES), place_of_data_key(organisation))
            await self._table.add_data_key(organisation, self._keys.current(), wrapped)
            key = await self.existing(organisation)
        assert key is not None, "a data key does not go away"
        return key
