"""Create an organisation."""

from __future__ import annotations

from callboard.contracts.access import CreateOrganisation
from callboard.contracts.playbooks import Done
from callboard_authsvc.journal import Journal
from callboard_authsvc.organisations.domain import ORGANISATION, Create, check, stream_of


async def create_organisation(command: CreateOrganisation, journal: Journal, plan: str = "") -> Done:
    """`OrganisationCreated` opens the organisation's log, with the plan of new ones. One that exists: seq 0."""
    order = Create(organisation=command.organisation, title=command.title, plan=plan)
    check(order)
    outcome = await journal.record(command, stream_of(command.organisation), ORGANISATION, order)
    return Done(seq=outcome.seq)
