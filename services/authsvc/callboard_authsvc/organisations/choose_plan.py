"""Give an organisation another plan."""

from __future__ import annotations

from callboard.contracts.plans import ChoosePlan
from callboard.contracts.playbooks import Done
from callboard_authsvc.journal import Journal
from callboard_authsvc.organisations.domain import ORGANISATION, Choose, check_plan, stream_of
from callboard_authsvc.organisations.known import KnownOrganisations


async def choose_plan(command: ChoosePlan, journal: Journal, organisations: KnownOrganisations) -> Done:
    """What it has already stays, even where that is more. Raises `organisation.unknown` or `argument.invalid`."""
    check_plan(command.plan, command.quotas)
    await organisations.require(command.organisation)
    order = Choose(organisation=command.organisation, plan=command.plan, quotas=command.quotas)
    outcome = await journal.record(command, stream_of(command.organisation), ORGANISATION, order)
    return Done(seq=outcome.seq)
