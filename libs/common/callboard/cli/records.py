"""`callboard calls` and `callboard events`."""

from __future__ import annotations

import itertools
from argparse import Namespace
from collections.abc import Iterator
from typing import TypeVar

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output, moment
from callboard.cli.refusals import Refused
from callboard.cli.target import connect, organisation_of
from callboard.contracts.calls import CallRecord
from callboard.contracts.events import PublishedEvent, type_of

Item = TypeVar("Item")
_CALL_COLUMNS = ("when", "playbook", "tool", "outcome", "ms", "client", "call id")
_EVENT_COLUMNS = ("seq", "when", "what", "on", "who", "why")


def list_calls(args: Namespace, out: Output) -> int:
    """`calls ls`."""
    with connect(args) as callboard:
        found = callboard.calls(organisation_of(args, callboard), args.playbook, limit=args.limit)
    if out.as_json:
        out.json(found)
    else:
        out.table(_CALL_COLUMNS, [_call_row(call) for call in found.calls], "no call is recorded")
    return OK


def show_call(args: Namespace, out: Output) -> int:
    """`calls show ID`."""
    with connect(args) as callboard:
        found = callboard.calls(organisation_of(args, callboard), call_id=args.call_id)
    if not found.calls:
        raise Refused(f"no call {args.call_id!r} is recorded (a record may take a second to arrive)")
    call = found.calls[0]
    if out.as_json:
        out.json(call)
    else:
        for field in call.__struct_fields__:
            value = getattr(call, field)
            if value not in ("", None):
                out.text(f"{field:15} {value}")
    return OK


def tail_calls(args: Namespace, out: Output) -> int:
    """`calls tail`: one line per call until it is interrupted."""
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        for call in _following(callboard.tail_calls(organisation), f"calls of {organisation}", args.count, out):
            if out.as_json:
                out.json_line(call)
            else:
                out.text("  ".join(str(cell) for cell in _call_row(call)))
    return OK


def _call_row(call: CallRecord) -> tuple[object, ...]:
    milliseconds = f"{call.total_us / 1000:.1f}"
    playbook = f"{call.playbook}@{call.version}"
    what = call.tool if call.method == "tools/call" else f"{call.method} {call.tool}".strip()
    outcome = call.outcome if not call.problem else f"{call.outcome} {call.problem}"
    return (moment(call.started_at), playbook, what, outcome, milliseconds, call.client, call.call_id)


def list_events(args: Namespace, out: Output) -> int:
    """`events ls`."""
    with connect(args) as callboard:
        found = callboard.events(organisation_of(args, callboard), args.after, args.limit)
    if out.as_json:
        out.json(found)
    else:
        out.table(_EVENT_COLUMNS, [_event_row(event) for event in found.events], "no event after that")
    return OK


def tail_events(args: Namespace, out: Output) -> int:
    """`events tail`: one line per event until it is interrupted."""
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        for event in _following(callboard.tail_events(organisation), f"events of {organisation}", args.count, out):
            if out.as_json:
                out.json_line(event)
            else:
                out.text("  ".join(str(cell) for cell in _event_row(event)))
    return OK


def _event_row(event: PublishedEvent) -> tuple[object, ...]:
    at = moment(event.recorded_at)
    return (event.seq, at, type_of(event.event), event.stream, event.actor, event.comment)


def _following(items: Iterator[Item | None], what: str, count: int | None, out: Output) -> Iterator[Item]:
    begun = next(items, None)
    out.talk(f"following {what} (Ctrl-C ends)")
    rest = items if begun is None else itertools.chain([begun], items)
    yield from itertools.islice((item for item in rest if item is not None), count)
