"""The installation: status of every instance, projections."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import get, post

from callboard.contracts import subjects
from callboard.contracts.management import Poison, SystemStatus
from callboard.contracts.problems import Problem
from callboard.contracts.records import AskRebuild, PoisonDecided, RebuildProjection, Rebuilt, RetryEvent, SkipEvent
from callboard.contracts.status import AskStatus, InstanceStatus
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller

STATUS_SECONDS: Final = 0.4


@get("/status", summary="Status of every instance")
async def status(bus: Bus, caller: Caller) -> SystemStatus:
    """An administrator sees everything, others the servers of their organisation."""
    own = caller.organisations("status:read")
    if not caller.administers and (not own or caller.principal.playbooks):
        raise Problem("auth.forbidden", "the token does not allow `status:read` on any organisation")
    answers = await bus.gather(subjects.STATUS, AskStatus(), InstanceStatus, within=STATUS_SECONDS)
    if not caller.administers:
        answers = [of_organisations(own, answer) for answer in answers]
    return SystemStatus(instances=tuple(sorted(answers, key=lambda answer: (answer.room, answer.instance))))


def of_organisations(organisations: frozenset[str], answer: InstanceStatus) -> InstanceStatus:
    """What members of these may see of an instance."""
    servers = tuple(server for server in answer.servers if server.organisation in organisations)
    held = tuple(one for one in answer.held if one.playbook.partition("/")[0] in organisations)
    # A problem is told in the words of the whole installation, which may name others.
    problem = "there is a problem; an administrator sees which" if answer.problem else ""
    return msgspec.structs.replace(answer, servers=servers, held=held, problem=problem, projections=(), figures={})


@post("/projections/{name:str}/rebuild", summary="Rebuild a read model", status_code=202)
async def rebuild_projection(bus: Bus, caller: Caller, name: str) -> Rebuilt:
    """In the background; the old tables serve until the new ones are complete."""
    caller.require_administrator()
    return await bus.ask(subjects.REBUILD, RebuildProjection(projection=name), Rebuilt, within=30.0)


@post("/projections/{name:str}/skip", summary="Pass over an event that a read model cannot fold", status_code=200)
async def skip_event(bus: Bus, caller: Caller, name: str, data: Poison) -> PoisonDecided:
    """The read model goes on without what the event says, and so does every rebuild; the log is not changed."""
    caller.require_administrator()
    command = SkipEvent(
        projection=name, organisation=data.organisation, seq=data.seq, actor=caller.actor, comment=data.comment
    )
    return await bus.ask(subjects.SKIP_EVENT, command, PoisonDecided)


@post("/projections/{name:str}/retry", summary="Try an event again that a read model could not fold", status_code=200)
async def retry_event(bus: Bus, caller: Caller, name: str, data: Poison) -> PoisonDecided:
    """At once where the read model stopped; where it was skipped, at the next rebuild."""
    caller.require_administrator()
    command = RetryEvent(
        projection=name, organisation=data.organisation, seq=data.seq, actor=caller.actor, comment=data.comment
    )
    return await bus.ask(subjects.RETRY_EVENT, command, PoisonDecided)


@get("/projections/{name:str}/rebuild", summary="How far a rebuild is")
async def rebuild_state(bus: Bus, caller: Caller, name: str) -> Rebuilt:
    """State, checksums, and what went wrong."""
    caller.require_administrator()
    return await bus.ask(subjects.REBUILD_STATE, AskRebuild(projection=name), Rebuilt)


ROUTES = [status, rebuild_projection, rebuild_state, skip_event, retry_event]
