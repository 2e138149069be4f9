"""Who is served which version of a playbook."""

from __future__ import annotations

import msgspec
from litestar import delete, get, post, put

from callboard.contracts import subjects
from callboard.contracts.assignments import AskPins, EndCanary, PinClient, Pins, PromoteCanary, StartCanary, UnpinClient
from callboard.contracts.management import Comment, NewCanary, Pin
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp
from callboard_edge.api.names import Names

_ALL = "/organisations/{organisation:str}/pins"
_CANARY = "/organisations/{organisation:str}/playbooks/{name:str}/canary"
_PINS = "/organisations/{organisation:str}/playbooks/{name:str}/pins"


@get(_ALL, summary="Pins of all playbooks")
async def list_pins(bus: Bus, caller: Caller, organisation: str) -> Pins:
    """Of the playbooks that the token reaches."""
    caller.require("read", organisation, "")
    found = await bus.ask(subjects.PINS, AskPins(organisation=organisation), Pins)
    return msgspec.structs.replace(found, pins=tuple(pin for pin in found.pins if caller.sees(pin.playbook)))


@get(_PINS, summary="Pins of a playbook")
async def playbook_pins(bus: Bus, caller: Caller, organisation: str, name: str) -> Pins:
    """Which clients are served a version of their own, whichever is the current one."""
    caller.require("read", organisation, name)
    return await bus.ask(subjects.PINS, AskPins(organisation=organisation, playbook=name), Pins)


@put(_PINS + "/{client:str}", summary="Serve a client one version", status_code=200)
async def pin_client(
    bus: Bus, caller: Caller, stamp: Stamp, names: Names, organisation: str, name: str, client: str, data: Pin
) -> Done:
    """From now on, until unpinned; `@n` in the URL still wins. `seq` 0: that is how it was."""
    caller.require("playbook:assign", organisation, name)
    command = PinClient(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        client=await names.sealed(organisation, client),
        version=data.version,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.PIN_CLIENT, command, Done)


@delete(_PINS + "/{client:str}", summary="Serve a client what everybody is served", status_code=200)
async def unpin_client(
    bus: Bus, caller: Caller, stamp: Stamp, names: Names, organisation: str, name: str, client: str, comment: str
) -> Done:
    """`seq` 0: the client was not pinned."""
    caller.require("playbook:assign", organisation, name)
    command = UnpinClient(
        command_id=stamp.command_id(),
        organisation=organisation,
        playbook=name,
        client=await names.sealed(organisation, client),
        comment=comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.UNPIN_CLIENT, command, Done)


@post(_CANARY, summary="Try a version on a share of the callers", status_code=200)
async def start_canary(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: NewCanary) -> Done:
    """Judged from the call records: promoted when its time is over, ended as soon as `condition` holds."""
    caller.require("playbook:assign", organisation, name)
    command = StartCanary(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        version=data.version,
        percent=data.percent,
        until=data.until,
        condition=data.condition,
        min_calls=data.min_calls,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.START_CANARY, command, Done)


@post(_CANARY + "/promote", summary="Publish what is tried now", status_code=200)
async def promote_canary(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: Comment) -> Done:
    """The content of the version that is tried becomes the next version."""
    caller.require("playbook:assign", organisation, name)
    command = PromoteCanary(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.PROMOTE_CANARY, command, Done)


@post(_CANARY + "/stop", summary="Stop trying a version", status_code=200)
async def stop_canary(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: Comment) -> Done:
    """Everybody is served the current version again."""
    caller.require("playbook:assign", organisation, name)
    command = EndCanary(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.END_CANARY, command, Done)


ROUTES = [list_pins, playbook_pins, pin_client, unpin_client, start_canary, promote_canary, stop_canary]
