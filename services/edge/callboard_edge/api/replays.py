"""Recorded calls, run again on a version of a playbook."""

from __future__ import annotations

from litestar import post

from callboard.contracts.management import ReplayCall
from callboard.contracts.records import Replayed
from callboard_edge.api.caller import Caller
from callboard_edge.mcp.gate import Place
from callboard_edge.replay.run import Replays


@post("/organisations/{organisation:str}/playbooks/{name:str}/replays", summary="Run a call again", status_code=200)
async def replay_call(replays: Replays, caller: Caller, organisation: str, name: str, data: ReplayCall) -> Replayed:
    """The recorded call runs on that version of this playbook, and its result is compared with what was recorded.

    Read-only tools only, unless `unsafe` names the tool. The call is recorded as a replay and counts as no agent's.
    """
    caller.require("call:replay", organisation, name)
    if data.candidate is not None:
        # What is tried reaches servers as what is published does, whatever the playbook has now.
        caller.require("playbook:publish", organisation)
    record = await replays.recorded(organisation, data.call_id)
    caller.require("call:replay", organisation, record.playbook)
    place = Place(organisation, name, data.version)
    return await replays.run(caller.principal, place, record, data)


ROUTES = [replay_call]
