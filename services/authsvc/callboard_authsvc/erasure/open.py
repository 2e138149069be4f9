"""Open what is sealed, for the edge: it decides who may read, and asks for what they read only."""

from __future__ import annotations

from callboard.contracts.personal import OpenedPersonal, OpenPersonal
from callboard.kernel.personal import ERASED, person_of
from callboard_authsvc.erasure.dependencies import ErasureDependencies
from callboard_authsvc.vault.sealing import NotOpened


async def open_personal(question: OpenPersonal, use: ErasureDependencies) -> OpenedPersonal:
    """What does not open (sealed elsewhere, or made up) is left out. Raises `secret.unreadable`."""
    organisation = question.organisation
    whose = {sealed: person for sealed in question.sealed if (person := person_of(sealed)) is not None}
    rows = {row.person: row for row in await use.keys.table.find(organisation, set(whose.values()))}
    opened = {}
    for sealed, person in whose.items():
        if person in rows:
            try:
                plain = await use.keys.opened(organisation, rows[person], sealed)
            except NotOpened:
                continue
            opened[sealed] = ERASED if plain is None else plain
    return OpenedPersonal(opened=opened)
