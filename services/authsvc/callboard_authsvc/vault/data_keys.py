"""The data keys of each organisation: the first made at its first secret, stored wrapped, unwrapped for each use.

What is sealed says under which version. New values are sealed under the newest; `rotate.py` makes another one.
"""

from __future__ import annotations

import msgspec

from callboard.contracts.problems import Problem
from callboard_authsvc.adapters.secret_table import DataKeyRow, SecretTable
from callboard_authsvc.clock import Chance
from callboard_authsvc.vault.keys import KeyEncryption
from callboard_authsvc.vault.sealing import KEY_BYTES, NotOpened, place_of_data_key


class DataKey(msgspec.Struct, frozen=True):
    """A key that is open; it does not print."""

    version: int
    key: bytes

    def __repr__(self) -> str:
        return f"DataKey(version={self.version})"


class DataKeys:
    """Data keys in the table, opened by whoever keeps the key-encryption key."""

    def __init__(self, table: SecretTable, keys: KeyEncryption, chance: Chance) -> None:
        self._table = table
        self._keys = keys
        self._chance = chance

    async def existing(self, organisation: str, version: int | None = None) -> DataKey | None:
        """This version, or the newest; None when there is none. Raises `Problem("secret.unreadable")`."""
        row = await self._table.data_key(organisation, version)
        if row is None:
            return None
        try:
            place = place_of_data_key(organisation, row.version)
            return DataKey(row.version, await self._keys.unwrap(row.key_id, row.wrapped, place))
        except NotOpened:
            message = f"the data key of {organisation} was wrapped by another key-encryption key"
            raise Problem("secret.unreadable", message) from None

    async def ensured(self, organisation: str) -> DataKey:
        """The newest key, made now if there was none. Of several made at once the first one stays."""
        key = await self.existing(organisation)
        if key is None:
            await self._table.add_data_key(await self.new(organisation, 1))
            key = await self.existing(organisation)
        assert key is not None, "a data key does not go away but with all that is sealed under it"
        return key

    async def new(self, organisation: str, version: int) -> DataKeyRow:
        """A key that nobody has yet, wrapped."""
        place = place_of_data_key(organisation, version)
        wrapped = await self._keys.wrap(self._chance(KEY_BYTES), place)
        return DataKeyRow(organisation, version, self._keys.current(), wrapped)

    async def rewrap(self) -> int:
        """Wrap every key under the key-encryption key of now; how many were wrapped under another one."""
        rows = await self._table.data_keys_to_rewrap(self._keys.current())
        for row in rows:
            place = place_of_data_key(row.organisation, row.version)
            try:
                key = await self._keys.unwrap(row.key_id, row.wrapped, place)
            except NotOpened:
                continue  # it stays as it is, and whoever needs it is told
            await self._table.rewrap(row, self._keys.current(), await self._keys.wrap(key, place))
        return len(rows)
