"""What persons do that concerns every organisation of theirs: an event in the log of each."""

from __future__ import annotations

import asyncio

from callboard.contracts.sign_in_events import PersonPasswordSet, PersonResetLinkMade, PersonSignedIn
from callboard.platform.event_store import new_id
from callboard_authsvc.adapters.person_table import PersonRow
from callboard_authsvc.journal import Noted
from callboard_authsvc.people.dependencies import PeopleDependencies
from callboard_authsvc.people.domain import logs_of


async def note_of(
    person: PersonRow,
    event: PersonSignedIn | PersonPasswordSet | PersonResetLinkMade,
    actor: str,
    use: PeopleDependencies,
) -> None:
    """Write it down in every organisation of the person; in the installation's log where there is none."""

    async def note(organisation: str) -> None:
        noted = Noted(command_id=new_id(), organisation=organisation, actor=actor)
        await use.journal.note(noted, event)

    organisations = await use.members.table.grants_of(person.person)
    await asyncio.gather(*map(note, logs_of(organisations, administers=person.administers)))
