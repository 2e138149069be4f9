"""The table `cb.member`: what members may do now, as the stream `members` of each organisation says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg
import msgspec

from callboard.contracts.people_events import (
    MemberJoined,
    MemberProvisioned,
    MemberRemoved,
    MemberRoleGiven,
    ServiceAccountCreated,
)
from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard.platform.walls import across
from callboard_authsvc.members.domain import MemberEvent

_PACKAGE = "callboard_authsvc"
_REMOVAL = (
    "member_removed",
    "revoke_tokens_of_member",
    "oauth_revoke_grants_of_member",
    "oauth_remove_clients_of_account",
)


class MemberRow(msgspec.Struct, frozen=True, kw_only=True):
    """One member; `email` and `name` only where they were asked for."""

    organisation: str
    member: str
    kind: str
    role: str
    permissions: tuple[str, ...]
    since: datetime
    email: str = ""
    name: str = ""

    def __repr__(self) -> str:
        return f"MemberRow(organisation={self.organisation!r}, member={self.member!r}, role={self.role!r})"


class MemberKey(NamedTuple):
    """A key that a member stands behind."""

    key_id: str
    session: bool
    ended: bool


class FormerMember(NamedTuple):
    """A person who is a member (`active`), or was one."""

    member: str
    active: bool


class MemberTable:
    """Reads wait for a database that restarts; writes happen in the caller's transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._across = across(pool)  # a person may be a member of several organisations

    async def follow(
        self, connection: Connection, organisation: str, events: Sequence[MemberEvent], now: datetime
    ) -> None:
        """Bring the rows up to these events."""
        for event in events:
            match event:
                case MemberJoined():
                    row = (organisation, event.member, "person", event.role, event.permissions, now)
                    await connection.execute(sql(_PACKAGE, "put_member"), *row)
                case MemberProvisioned():
                    provisioned: tuple[str, ...] = ()
                    row = (organisation, event.member, "person", event.role, provisioned, now)
                    await connection.execute(sql(_PACKAGE, "put_member"), *row)
                case ServiceAccountCreated():
                    row = (organisation, event.account, "service", event.role, event.permissions, now)
                    await connection.execute(sql(_PACKAGE, "put_member"), *row)
                case MemberRoleGiven():
                    given = (organisation, event.member, event.role, event.permissions, now)
                    await connection.execute(sql(_PACKAGE, "member_role"), *given)
                case MemberRemoved():
                    # For good: whoever joins again does not get old keys back.
                    for statement in _REMOVAL:
                        await connection.execute(sql(_PACKAGE, statement), organisation, event.member, now)
                    await connection.execute(sql(_PACKAGE, "forget_member_sign_ins"), organisation, event.member)
                case _:
                    pass

    async def find(self, organisation: str, member: str) -> MemberRow | None:
        """The member of this name."""
        row = await persist(lambda: self._pool.fetchrow(sql(_PACKAGE, "find_member"), organisation, member))
        return None if row is None else _row(row)

    async def person_of(self, organisation: str, person: str) -> FormerMember | None:
        """The person with this id or e-mail address, if it is or was a member."""
        wanted = (organisation, person)
        row = await persist(lambda: self._pool.fetchrow(sql(_PACKAGE, "person_of_organisation"), *wanted))
        return None if row is None else FormerMember(row["member"], row["active"])

    async def erase(self, connection: Connection, organisation: str, person: str) -> None:
        """Delete upstream grants, addresses of invitations, and the account unless another organisation has it."""
        for statement in ("erase_grants", "erase_addresses", "erase_account"):
            await connection.execute(sql(_PACKAGE, statement), organisation, person)

    async def of_organisation(self, organisation: str) -> list[MemberRow]:
        """All of them with e-mail and name, the oldest first."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "members"), organisation))
        return [_row(row) for row in rows]

    async def grants_of(self, person: str) -> dict[str, tuple[str, ...]]:
        """Organisation -> role and permissions of a person."""
        rows = await persist(lambda: self._across.fetch(sql(_PACKAGE, "memberships"), person))
        return {row["organisation"]: (row["role"], *row["permissions"]) for row in rows}

    async def keys_of(self, organisation: str, member: str, since: datetime) -> list[MemberKey]:
        """Tokens and sessions that may do something because of a membership, or could until after `since`."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "member_keys"), organisation, member, since))
        return [MemberKey(row["key_id"], row["session"], row["ended"]) for row in rows]

    async def changed_since(self, since: datetime) -> list[tuple[str, str]]:
        """Organisation and member of every change from `since` on, removals included."""
        rows = await persist(lambda: self._across.fetch(sql(_PACKAGE, "members_changed_since"), since))
        return [(row["organisation"], row["member"]) for row in rows]


def _row(row: asyncpg.Record) -> MemberRow:
    return MemberRow(
        organisation=row["organisation"],
        member=row["member"],
        kind=row["kind"],
        role=row["role"],
        permissions=tuple(row["permissions"]),
        since=row["since"],
        email=row["email"],
        name=row["name"],
    )
