"""Erase a member: membership, then account and addresses, with the event. The log only ever had the id."""

from __future__ import annotations

from msgspec.structs import replace

from callboard.contracts.events import PersonErased
from callboard.contracts.people import RemoveMember
from callboard.contracts.personal import ErasePerson
from callboard.contracts.playbooks import Done
from callboard.platform.event_store import Connection
from callboard_authsvc.erasure.dependencies import ErasureDependencies
from callboard_authsvc.erasure.domain import PERSON, Erase, check, stream_of, unknown
from callboard_authsvc.members.change import remove_member


async def erase_member(command: ErasePerson, use: ErasureDependencies) -> Done:
    """By id or e-mail address, also after leaving. Raises `person.unknown`, and what removing a member raises.

    The account goes with the last membership: until then another organisation knows this person.
    """
    organisation, members = command.organisation, use.members
    found = await members.table.person_of(organisation, command.person)
    if found is None:
        raise unknown(command.person)
    check(command.comment)
    if found.active:
        await remove_member(
            RemoveMember(
                command_id=f"{command.command_id}/member",
                organisation=organisation,
                member=found.member,
                comment=command.comment,
                actor=command.actor,
                by=command.by,
            ),
            members,
        )

    async def destroy(connection: Connection, events: tuple[PersonErased, ...]) -> None:
        await members.table.erase(connection, organisation, found.member)

    order = Erase(person=found.member, comment=command.comment)
    recorded = replace(command, person=found.member)
    outcome = await use.journal.record(recorded, stream_of(found.member), PERSON, order, destroy)
    await members.news.changed(organisation, found.member)
    return Done(seq=outcome.seq)
