"""Persons as they are now, for `upstream_oauth.standing`."""

from __future__ import annotations

import asyncpg

from callboard.platform.postgres import persist, sql
from callboard_authsvc.adapters.member_table import MemberTable
from callboard_authsvc.adapters.person_table import PersonTable
from callboard_authsvc.people.principal import principal_of_person
from callboard_authsvc.upstream_oauth.domain import Whose
from callboard_authsvc.upstream_oauth.standing import Standing

_PACKAGE = "callboard_authsvc"


class PersonStandings:
    """Reads wait for a database that restarts."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._persons = PersonTable(pool)
        self._members = MemberTable(pool)

    async def of(self, whose: Whose, person: str) -> Standing | None:
        """See `upstream_oauth.standing.Standings`."""
        row = await self._persons.by_id(person)
        if row is None:
            return None
        principal = principal_of_person(row, "", await self._members.grants_of(person))
        wanted = (whose.organisation, whose.subject)
        behind = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "members_behind_client"), *wanted))
        return Standing(principal, frozenset(each["member"] for each in behind))
