"""The log and the call records: read back, and followed live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import get
from litestar.params import Parameter
from litestar.response import Stream
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.calls import Outcome, record_lines
from callboard.contracts.layers import SYSTEM
from callboard.contracts.problems import Problem
from callboard.contracts.records import (
    AskCalls,
    AskDefinition,
    AskEvent,
    AskEvents,
    Calls,
    Definition,
    Events,
    LoggedEvent,
)
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller
from callboard_edge.api.names import Names
from callboard_edge.api.tail import Tails

Limit = Annotated[int, Parameter(ge=1, le=1000)]
Positive = Annotated[int, Parameter(ge=0)]
Kinds = Annotated[list[str] | None, Parameter(max_items=50)]
ASK_SECONDS = 12.0
"""A search of many days may take a while; the projections end it after eight seconds."""


@get("/organisations/{organisation:str}/events", summary="Read the log")
async def list_events(
    bus: Bus,
    caller: Caller,
    organisation: str,
    after: Positive = 0,
    limit: Limit = 200,
    kind: Kinds = None,
    newest: bool = False,
) -> Events:
    """Events after `after` (exclusive), oldest first: of these types (globs), or the newest ones."""
    caller.require("event:read", organisation)
    return await _events(bus, organisation, after, limit, kind, newest=newest)


@get("/system/events", summary="Read the log of the installation")
async def list_system_events(
    bus: Bus, caller: Caller, after: Positive = 0, limit: Limit = 200, kind: Kinds = None, newest: bool = False
) -> Events:
    """What concerns no organisation: signing keys, its layer, who signed in that has none, and who was refused."""
    caller.require_administrator()
    return await _events(bus, SYSTEM, after, limit, kind, newest=newest)


async def _events(bus: Bus, log: str, after: int, limit: int, kinds: list[str] | None, *, newest: bool) -> Events:
    question = AskEvents(organisation=log, after=after, limit=limit, kinds=tuple(kinds or ()), newest=newest)
    return await bus.ask(subjects.EVENTS_ASKED, question, Events, within=ASK_SECONDS)


@get("/organisations/{organisation:str}/events/tail", summary="Follow the log", media_type="text/event-stream")
async def tail_events(tails: Tails, caller: Caller, organisation: str) -> Stream:
    """Server-sent events, each a `PublishedEvent`."""
    caller.require("event:read", organisation)
    return tails.tail(f"{subjects.EVENT}.{organisation}.>", key_id=caller.by)


@get("/organisations/{organisation:str}/events/{event:str}", summary="One event of the log")
async def show_event(bus: Bus, caller: Caller, organisation: str, event: str) -> LoggedEvent:
    """By its number or its id, with the command behind it and its link of the hash chain."""
    caller.require("read", organisation)
    number = int(event) if event.isdecimal() and len(event) < 19 else 0
    question = AskEvent(organisation=organisation, seq=number, event_id="" if number else event)
    return await bus.ask(subjects.EVENT_ASKED, question, LoggedEvent)


@get("/organisations/{organisation:str}/calls", summary="Recent calls")
async def list_calls(
    bus: Bus,
    caller: Caller,
    names: Names,
    organisation: str,
    playbook: str = "",
    call_id: str = "",
    version: Positive = 0,
    tool: str = "",
    server: str = "",
    client: str = "",
    principal: str = "",
    era: str = "",
    outcome: Literal["", Outcome] = "",
    digest: str = "",
    trace_id: str = "",
    min_us: Positive = 0,
    since: datetime | None = None,
    until: datetime | None = None,
    cursor: str = "",
    limit: Limit = 50,
) -> Calls:
    """Newest first; of the last 24 hours unless `since` says otherwise. `cursor` of an answer asks for more."""
    caller.require("call:read", organisation, playbook)
    question = AskCalls(
        organisation=organisation, playbook=playbook, call_id=call_id, limit=limit, version=version, tool=tool,
        server=server, client=await names.sealed(organisation, client), principal=principal, era=era,
        outcome=outcome, digest=digest, trace_id=trace_id, min_us=min_us, since=_zoned(since),
        until=_zoned(until), cursor=cursor,
    )  # fmt: skip
    found = await bus.ask(subjects.CALLS_ASKED, question, Calls, within=ASK_SECONDS)
    return msgspec.structs.replace(found, calls=tuple(c for c in found.calls if caller.sees(c.playbook)))


def _zoned(at: datetime | None) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise Problem("argument.invalid", "a time needs its zone, like 2026-11-20T14:05:00Z")
    return at


@get("/organisations/{organisation:str}/definitions/{digest:str}", summary="The definition behind a digest")
async def show_definition(bus: Bus, caller: Caller, organisation: str, digest: str) -> Definition:
    """As the server said it, and when that was seen first; a call record names the digest that answered it."""
    caller.require("read", organisation, "")
    return await bus.ask(subjects.DEFINITION, AskDefinition(organisation=organisation, digest=digest), Definition)


@get("/organisations/{organisation:str}/calls/tail", summary="Follow calls", media_type="text/event-stream")
async def tail_calls(tails: Tails, caller: Caller, organisation: str) -> Stream:
    """Server-sent events, each a `CallRecord`, as they happen."""
    caller.require("call:read", organisation, "")
    return tails.tail(f"{subjects.RECORD}.{organisation}.>", _visible_to(caller), caller.by)


def _visible_to(caller: Caller) -> Callable[[Msg], Sequence[bytes]]:
    def visible(message: Msg) -> Sequence[bytes]:
        return record_lines(message.data) if caller.sees(message.subject.rpartition(".")[2]) else ()

    return visible


ROUTES = [list_events, list_system_events, tail_events, show_event, list_calls, show_definition, tail_calls]
