"""The key of each person: made when they are first named, stored wrapped, unwrapped for each use and never kept."""

from __future__ import annotations

import hashlib
import hmac

from callboard.contracts.problems import Problem
from callboard.kernel.personal import PERSON_BYTES, is_person, person_id
from callboard_authsvc.adapters.person_key_table import PersonKeyRow, PersonKeyTable
from callboard_authsvc.clock import Chance, Clock
from callboard_authsvc.erasure.sealing import KEY_BYTES, open_text, place_of_key, seal_text
from callboard_authsvc.vault.keys import KeyEncryption
from callboard_authsvc.vault.sealing import NotOpened


class PersonKeys:
    """Persons found by id or name. `tags` is the key of the tags that stand for names in the table."""

    def __init__(self, table: PersonKeyTable, keys: KeyEncryption, tags: bytes, clock: Clock, chance: Chance) -> None:
        self.table = table
        self._keys = keys
        self._tags = tags
        self._clock = clock
        self._chance = chance

    async def find(self, organisation: str, person: str) -> PersonKeyRow | None:
        """The person with this id, erased or not, or else with this name."""
        ids = [person] if is_person(person) else []
        rows = await self.table.find(organisation, ids, self._tag(organisation, person))
        return rows[0] if rows else None

    async def ensured(self, organisation: str, name: str) -> PersonKeyRow:
        """The person of this name, known from now on if there was none."""
        found = await self.find(organisation, name)
        if found is None:
            person, key = person_id(self._chance(PERSON_BYTES)), self._chance(KEY_BYTES)
            row = PersonKeyRow(
                person=person,
                kek_id=self._keys.current(),
                wrapped=await self._keys.wrap(key, place_of_key(organisation, person)),
                name=seal_text(key, organisation, person, name),
                known_since=self._clock(),
            )
            await self.table.add(organisation, row, self._tag(organisation, name))
            found = await self.find(organisation, name)
        assert found is not None, "of several made at once the first one stays"
        return found

    async def opened(self, organisation: str, row: PersonKeyRow, sealed: str) -> str | None:
        """The plain text; None when the key was destroyed. Raises `Problem("secret.unreadable")`."""
        if row.wrapped is None or row.kek_id is None:
            return None
        try:
            key = await self._keys.unwrap(row.kek_id, row.wrapped, place_of_key(organisation, row.person))
        except NotOpened:
            message = f"the key of {row.person} was wrapped by another key-encryption key"
            raise Problem("secret.unreadable", message) from None
        return open_text(key, organisation, row.person, sealed)

    def _tag(self, organisation: str, name: str) -> bytes:
        return hmac.digest(self._tags, f"{organisation}/{name}".encode(), hashlib.sha256)
