"""Organisations and the declarative apply."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import get, post, put

from callboard.contracts import subjects
from callboard.contracts.access import CreateOrganisation
from callboard.contracts.management import NewOrganisation, WantedState
from callboard.contracts.plans import AskUsage, ChoosePlan, PlanOf, Usage
from callboard.contracts.playbooks import Applied, ApplyOrganisation, Done
from callboard.contracts.problems import Problem
from callboard.contracts.records import AskOrganisations, Organisations
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

APPLY_SECONDS: Final = 120.0
"""Applying connects to every new server before it publishes, and a command may have to be downloaded first."""


@get("/organisations", summary="List organisations")
async def list_organisations(bus: Bus, caller: Caller) -> Organisations:
    """All of them for an administrator, else the caller's own."""
    found = await bus.ask(subjects.ORGANISATIONS, AskOrganisations(), Organisations)
    if caller.administers:
        return found
    own = caller.organisations("read")
    if not own and caller.signed_in is None:
        raise Problem("auth.forbidden", "the token does not allow `read` on any organisation")
    return msgspec.structs.replace(found, organisations=tuple(o for o in found.organisations if o.organisation in own))


@post("/organisations", summary="Create an organisation", status_code=200)
async def create_organisation(bus: Bus, caller: Caller, stamp: Stamp, data: NewOrganisation) -> Done:
    """Creating one that exists answers with `seq` 0."""
    caller.require_administrator()
    command = CreateOrganisation(
        command_id=stamp.command_id(data.command_id),
        organisation=data.organisation,
        title=data.title,
        actor=caller.actor,
    )
    return await bus.ask(subjects.CREATE_ORGANISATION, command, Done)


@get("/organisations/{organisation:str}", summary="Plan and usage of an organisation")
async def show_organisation(bus: Bus, caller: Caller, organisation: str) -> Usage:
    """What it has and uses, beside what its plan allows."""
    caller.require("read", organisation)
    return await bus.ask(subjects.USAGE, AskUsage(organisation=organisation), Usage)


@put("/organisations/{organisation:str}/plan", summary="Give an organisation another plan")
async def choose_plan(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, data: PlanOf) -> Done:
    """What it has already stays, even where that is more than the plan allows."""
    caller.require_administrator()
    command = ChoosePlan(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        plan=data.plan,
        quotas=data.quotas,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.CHOOSE_PLAN, command, Done)


@post("/organisations/{organisation:str}/apply", summary="Make servers and playbooks look like this", status_code=200)
async def apply(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, data: WantedState) -> Applied:
    """All or nothing; the answer is the plan, carried out unless `dry_run`."""
    caller.require("playbook:publish", organisation)
    command = ApplyOrganisation(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        servers=data.servers,
        playbooks=data.playbooks,
        comment=data.comment,
        actor=caller.actor,
        dry_run=data.dry_run,
        prune=data.prune,
        accept_drift=data.accept_drift,
    )
    return await bus.ask(subjects.APPLY, command, Applied, within=APPLY_SECONDS)


ROUTES = [list_organisations, create_organisation, show_organisation, choose_plan, apply]
