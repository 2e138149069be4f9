"""Persons as they are now, for `upstream_oauth.standing`."""

from __future__ import annotations

import asyncpg

from callboard.contracts.access import Principal
from callboard_authsvc.adapters.member_table import MemberTable
from callboard_authsvc.adapters.person_table import PersonTable
from callboard_authsvc.people.principal import principal_of_person


class PersonStandings:
    """Reads wait for a database that restarts."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._persons = PersonTable(pool)
        self._members = MemberTable(pool)

    async def of(self, person: str) -> Principal | None:
        """See `upstream_oauth.standing.Standings`."""
        row = await self._persons.by_id(person)
        return None if row is None else principal_of_person(row, "", await self._members.grants_of(person))
