"""Make a person a member because of the groups it has elsewhere, or end that. Invitations and roles given here stay."""

from __future__ import annotations

from callboard.platform.event_store import Connection, new_id
from callboard_authsvc.members.acceptance import Provisioning
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.members.domain import MEMBERSHIP, STREAM, MemberEvent, Provision


async def provision(person: str, role: str, organisation: str, use: MemberDependencies) -> None:
    """Role empty: no group has one. Raises `organisation.unknown` or `member.last_owner`."""
    await use.organisations.require(organisation)
    now = use.clock()

    async def follow(connection: Connection, events: tuple[MemberEvent, ...]) -> None:
        await use.table.follow(connection, organisation, events, now)

    command = Provisioning(command_id=new_id(), organisation=organisation, role=role, actor=person)
    outcome = await use.journal.record(command, STREAM, MEMBERSHIP, Provision(member=person, role=role), follow)
    if outcome.seq:
        await use.news.changed(organisation, person)
