"""The persons of an organisation."""

from __future__ import annotations

from callboard.contracts.personal import AskPersons, PersonLine, Persons
from callboard_authsvc.erasure.dependencies import ErasureDependencies


async def list_persons(question: AskPersons, use: ErasureDependencies) -> Persons:
    """As they became known, erased ones included. Raises `organisation.unknown`."""
    await use.organisations.require(question.organisation)
    if question.person:
        found = await use.keys.find(question.organisation, question.person)
        rows = [] if found is None else [found]
    else:
        rows = await use.keys.table.of_organisation(question.organisation)
    return Persons(
        persons=tuple(
            PersonLine(person=row.person, name=row.name, known_since=row.known_since, erased_at=row.erased_at)
            for row in rows
        )
    )
