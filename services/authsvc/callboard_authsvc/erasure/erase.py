"""Erase a person: the event, the end of the key and of the tokens in one transaction."""

from __future__ import annotations

from msgspec.structs import replace

from callboard.contracts.events import PersonErased
from callboard.contracts.personal import ErasePerson
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.platform.event_store import Connection
from callboard_authsvc.erasure.dependencies import ErasureDependencies
from callboard_authsvc.erasure.domain import PERSON, Erase, stream_of
from callboard_authsvc.erasure.erase_member import erase_member


async def erase_person(command: ErasePerson, use: ErasureDependencies) -> Done:
    """Raises `organisation.unknown`, `person.unknown`, `auth.forbidden`, `comment.required`. Seq 0: erased already."""
    organisation = command.organisation
    await use.organisations.require(organisation)
    await use.members.rights.require(command.by, "member:manage", organisation)
    row = await use.keys.find(organisation, command.person)
    if row is None:
        return await erase_member(command, use)

    if command.person != row.person and command.person.casefold() in command.comment.casefold():
        raise Problem("argument.invalid", "comment: it names the person, and is kept", argument="comment")

    async def destroy(connection: Connection, events: tuple[PersonErased, ...]) -> None:
        await use.keys.table.erase(connection, organisation, row.person, use.clock())

    # The log keeps a hash of the command, and that must not be one of a name.
    recorded = replace(command, person=row.person)
    order = Erase(person=row.person, comment=command.comment)
    outcome = await use.journal.record(recorded, stream_of(row.person), PERSON, order, destroy)
    # Also when nothing had to change: the caller may be here again because the first push was lost.
    for key_id in await use.keys.table.tokens_of(organisation, row.person):
        use.push.announce(key_id)
    return Done(seq=outcome.seq)
