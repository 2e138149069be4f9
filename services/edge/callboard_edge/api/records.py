"""The log and the call records: read back, and followed live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter
from litestar.response import Stream
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.records import AskCalls, AskEvents, Calls, Events
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller
from callboard_edge.api.tail import Tails

Limit = Annotated[int, Parameter(ge=1, le=1000)]


@get("/organisations/{organisation:str}/events", summary="Read the log")
async def list_events(
    bus: Bus, caller: Caller, organisation: str, after: Annotated[int, Parameter(ge=0)] = 0, limit: Limit = 200
) -> Events:
    """Events after `after` (exclusive), oldest first."""
    caller.require("read", organisation)
    question = AskEvents(organisation=organisation, after=after, limit=limit)
    return await bus.ask(subjects.EVENTS_ASKED, question, Events)


@get("/organisations/{organisation:str}/events/tail", summary="Follow the log", media_type="text/event-stream")
async def tail_events(tails: Tails, caller: Caller, organisation: str) -> Stream:
    """Server-sent events, each a `PublishedEvent`."""
    caller.require("read", organisation)
    return tails.tail(f"{subjects.EVENT}.{organisation}.>")


@get("/organisations/{organisation:str}/calls", summary="Recent calls")
async def list_calls(
    bus: Bus, caller: Caller, organisation: str, playbook: str = "", call_id: str = "", limit: Limit = 50
) -> Calls:
    """Newest first."""
    caller.require("read", organisation, playbook)
    question = AskCalls(organisation=organisation, playbook=playbook, call_id=call_id, limit=limit)
    found = await bus.ask(subjects.CALLS_ASKED, question, Calls)
    return msgspec.structs.replace(found, calls=tuple(c for c in found.calls if caller.sees(c.playbook)))


@get("/organisations/{organisation:str}/calls/tail", summary="Follow calls", media_type="text/event-stream")
async def tail_calls(tails: Tails, caller: Caller, organisation: str) -> Stream:
    """Server-sent events, each a `CallRecord`, as they happen."""
    caller.require("read", organisation, "")
    return tails.tail(f"{subjects.RECORD}.{organisation}.>", _visible_to(caller))


def _visible_to(caller: Caller) -> Callable[[Msg], bool]:
    def visible(message: Msg) -> bool:
        return caller.sees(message.subject.rpartition(".")[2])

    return visible


ROUTES = [list_events, tail_events, list_calls, tail_calls]
