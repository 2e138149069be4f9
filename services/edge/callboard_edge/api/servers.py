"""Registered upstream servers."""

from __future__ import annotations

from litestar import delete, get

from callboard.contracts import subjects
from callboard.contracts.playbooks import Done, RetireServer
from callboard.contracts.records import AskServers, Servers
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp


@get("/organisations/{organisation:str}/servers", summary="List servers")
async def list_servers(bus: Bus, caller: Caller, organisation: str) -> Servers:
    """As registered; their live state is in the status."""
    caller.require("read", organisation)
    return await bus.ask(subjects.SERVERS, AskServers(organisation=organisation), Servers)


@delete("/organisations/{organisation:str}/servers/{name:str}", summary="Retire a server", status_code=200)
async def retire_server(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, comment: str) -> Done:
    """Refused while a playbook uses it."""
    caller.require("server:manage", organisation)
    command = RetireServer(
        command_id=stamp.command_id(),
        organisation=organisation,
        server=name,
        comment=comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.RETIRE_SERVER, command, Done)


ROUTES = [list_servers, retire_server]
