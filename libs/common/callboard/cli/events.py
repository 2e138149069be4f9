"""`callboard events`."""

from __future__ import annotations

import itertools
from argparse import Namespace
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output, moment
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect, organisation_of
from callboard.contracts.events import PublishedEvent, type_of
from callboard.contracts.layers import SYSTEM
from callboard.contracts.records import LoggedEvent

Item = TypeVar("Item")
_EVENT_COLUMNS = ("seq", "when", "what", "on", "who", "why")


def list_events(args: Namespace, out: Output) -> int:
    """`events ls`."""
    with connect(args) as callboard:
        log = SYSTEM if args.system else organisation_of(args, callboard)
        found = callboard.events(log, args.after, args.limit, args.kind, newest=args.newest)
    if out.as_json:
        out.json(found)
    else:
        out.table(_EVENT_COLUMNS, [_event_row(event) for event in found.events], "no event after that")
        if found.more and not args.newest:
            out.talk(f"there are more: --after {found.events[-1].seq}")
    return OK


def show_event(args: Namespace, out: Output) -> int:
    """`events show ID|[ORG:]SEQ`: the event as the log has it, and its link of the hash chain."""
    organisation, colon, event = str(args.event).rpartition(":")
    if colon and not organisation:
        raise WrongUsage(f"{args.event!r}: write ORGANISATION:NUMBER, or the id of an event")
    with connect(args) as callboard:
        found = callboard.event(organisation or organisation_of(args, callboard), event)
    if out.as_json:
        out.json(found)
        return OK
    for label, value in _lines(found):
        if value:
            out.text(f"{label:<12}  {value}")
    out.text(msgspec.json.format(msgspec.json.encode(found.event.event), indent=2).decode())
    return OK


def _lines(found: LoggedEvent) -> tuple[tuple[str, str], ...]:
    event = found.event
    return (
        ("event", f"{event.organisation}:{event.seq}  {event.event_id}"),
        ("what", f"{found.event_type} (schema {found.schema_version})"),
        ("on", f"{event.stream} version {event.version}"),
        ("when", moment(event.recorded_at)),
        ("who", event.actor),
        ("why", event.comment),
        ("command", found.command_id),
        ("correlation", found.correlation),
        ("causation", found.causation),
        ("through", found.producer),
        ("hash before", found.prev_hash),
        ("hash", found.hash),
    )


def tail_events(args: Namespace, out: Output) -> int:
    """`events tail`: one line per event until it is interrupted."""
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        for event in following(callboard.tail_events(organisation), f"events of {organisation}", args.count, out):
            if out.as_json:
                out.json_line(event)
            else:
                out.text("  ".join(str(cell) for cell in _event_row(event)))
    return OK


def _event_row(event: PublishedEvent) -> tuple[object, ...]:
    at = moment(event.recorded_at)
    return (event.seq, at, type_of(event.event), event.stream, event.actor, event.comment)


def following(items: Iterator[Item | None], what: str, count: int | None, out: Output) -> Iterator[Item]:
    """What is followed, item by item, up to `count`; says when it has begun."""
    begun = next(items, None)
    out.talk(f"following {what} (Ctrl-C ends)")
    rest = items if begun is None else itertools.chain([begun], items)
    yield from itertools.islice((item for item in rest if item is not None), count)
