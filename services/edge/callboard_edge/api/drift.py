"""What servers changed since it was published, and what shall become of it."""

from __future__ import annotations

import msgspec
from litestar import get, post

from callboard.contracts import subjects
from callboard.contracts.drift import ApproveDrift, AskDrift, DriftDecided, HeldThings, RejectDrift
from callboard.contracts.management import DecideDrift
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

_ALL = "/organisations/{organisation:str}/drift"
_ONE = "/organisations/{organisation:str}/playbooks/{name:str}/drift"


@get(_ALL, summary="Everything that is held back")
async def list_held(bus: Bus, caller: Caller, organisation: str) -> HeldThings:
    """Of the playbooks that the token reaches."""
    caller.require("read", organisation, "")
    found = await bus.ask(subjects.DRIFT, AskDrift(organisation=organisation), HeldThings)
    return msgspec.structs.replace(found, held=tuple(thing for thing in found.held if caller.sees(thing.playbook)))


@get(_ONE, summary="What a playbook holds back")
async def held_by_playbook(bus: Bus, caller: Caller, organisation: str, name: str) -> HeldThings:
    """With the difference line by line, and who called it in the last seven days."""
    caller.require("read", organisation, name)
    return await bus.ask(subjects.DRIFT, AskDrift(organisation=organisation, playbook=name), HeldThings)


@post(_ONE + "/approve", summary="Show held things as they are now", status_code=200)
async def approve_drift(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: DecideDrift
) -> DriftDecided:
    """The next version pins them; what has changed again since it was looked at is refused."""
    caller.require("drift:decide", organisation, name)
    command = ApproveDrift(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        things=data.things,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.APPROVE_DRIFT, command, DriftDecided)


@post(_ONE + "/reject", summary="Leave held things hidden", status_code=200)
async def reject_drift(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: DecideDrift
) -> DriftDecided:
    """They stay hidden until the server changes them again or says what was pinned."""
    caller.require("drift:decide", organisation, name)
    command = RejectDrift(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        things=data.things,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.REJECT_DRIFT, command, DriftDecided)


ROUTES = [list_held, held_by_playbook, approve_drift, reject_drift]
