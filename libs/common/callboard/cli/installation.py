"""`callboard status` and `callboard projection`."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from callboard.cli.exit_codes import FAILED, NOT_AS_EXPECTED, OK
from callboard.cli.output import Output
from callboard.cli.parser import ROOMS
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect
from callboard.client import Callboard
from callboard.contracts.management import SystemStatus
from callboard.contracts.records import PoisonDecided, Rebuilt
from callboard.contracts.status import InstanceStatus, PoisonEvent, ServerStatus

_POLL_SECONDS: Final = 0.2
Progress = Callable[[Rebuilt], None]


def status(args: Namespace, out: Output) -> int:
    """`status`: exit code 4 when a service does not answer or is not ready."""
    with connect(args) as callboard:
        found = callboard.status()
    if out.as_json:
        out.json(found)
    else:
        _print_status(found, out)
    silent = [room for room in ROOMS if not any(i.room == room and i.ready for i in found.instances)]
    for room in silent:
        out.talk(f"no {room} is ready")
    return NOT_AS_EXPECTED if silent else OK


_SERVICE_COLUMNS: Final = ("service", "instance", "version", "pid", "up", "ready", "problem")
_SERVER_COLUMNS: Final = (
    "server",
    "state",
    "transport",
    "era",
    "connector",
    "owner",
    "in flight",
    "restarts",
    "tools",
    "problem",
)


def _print_status(found: SystemStatus, out: Output) -> None:
    out.table(_SERVICE_COLUMNS, [_service_row(instance) for instance in found.instances])
    servers = [_server_row(server, instance) for instance in found.instances for server in instance.servers]
    if servers:
        out.text("")
        out.table(_SERVER_COLUMNS, sorted(servers, key=str))
    _print_quarantined(found, out)
    _print_held(found, out)
    if any(instance.projections for instance in found.instances):
        out.text("")
        _print_projections(found, out)


def _print_quarantined(found: SystemStatus, out: Output) -> None:
    """What is hidden because its definition is not valid; every worker that listed the server says the same."""
    rows = {
        (f"{server.organisation}/{server.server}", name, why)
        for instance in found.instances
        for server in instance.servers
        for name, why in server.quarantined.items()
    }
    if rows:
        out.text("")
        out.table(("server", "quarantined", "why"), sorted(rows))


def _print_held(found: SystemStatus, out: Output) -> None:
    """What is hidden because its server changed it; every router says the same."""
    rows = {(held.playbook, held.thing, held.why) for instance in found.instances for held in instance.held}
    if rows:
        out.text("")
        out.table(("playbook", "held", "why"), sorted(rows))


def _service_row(i: InstanceStatus) -> tuple[object, ...]:
    return (i.room, i.instance, i.version, i.pid, _span(i.uptime_seconds), i.ready, i.problem)


def _server_row(s: ServerStatus, i: InstanceStatus) -> tuple[object, ...]:
    counts = (s.in_flight, s.restarts, s.tools)
    return (f"{s.organisation}/{s.server}", s.state, s.transport, s.era, i.instance, s.owner, *counts, s.problem)


def _span(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def _print_projections(found: SystemStatus, out: Output) -> None:
    rows = [
        (p.projection, p.lag, p.events, p.tables, instance.instance, p.problem)
        for instance in found.instances
        for p in instance.projections
    ]
    out.table(("projection", "lag", "events", "tables", "instance", "problem"), rows, "no projection answers")
    # Every instance reads the same table; the one that measured last knows best.
    poison = {
        (p.projection, event.organisation, event.seq): event
        for instance in found.instances
        for p in instance.projections
        for event in p.poison
    }
    if poison:
        out.text("")
        out.table(_POISON_COLUMNS, [_poison_row(key[0], poison[key]) for key in sorted(poison)])


_POISON_COLUMNS: Final = ("projection", "event", "what", "reason", "state", "since", "tries", "who", "why")


def _poison_row(projection: str, event: PoisonEvent) -> tuple[object, ...]:
    named = f"{event.organisation}:{event.seq}"
    told = (event.event_type, event.reason, event.state, event.first_at, event.attempts, event.actor, event.comment)
    return (projection, named, *told)


def list_projections(args: Namespace, out: Output) -> int:
    """`projection ls`."""
    with connect(args) as callboard:
        found = callboard.status()
    if out.as_json:
        out.json([p for instance in found.instances for p in instance.projections])
    else:
        _print_projections(found, out)
    return OK


def skip_event(args: Namespace, out: Output) -> int:
    """`projection skip NAME ORG:SEQ -m WHY`."""
    organisation, seq = _event_of(args.event)
    with connect(args) as callboard:
        decided = callboard.skip_event(args.name, organisation, seq, args.message)
    return _tell(decided, out)


def retry_event(args: Namespace, out: Output) -> int:
    """`projection retry NAME ORG:SEQ`: exit code 4 when it still stops there."""
    organisation, seq = _event_of(args.event)
    with connect(args) as callboard:
        decided = callboard.retry_event(args.name, organisation, seq, args.message or "")
    return _tell(decided, out)


def _event_of(text: str) -> tuple[str, int]:
    organisation, _, seq = text.rpartition(":")
    if not organisation or not seq.isdecimal():
        raise WrongUsage(f"{text!r}: write ORGANISATION:NUMBER, as `projection ls` prints it")
    return organisation, int(seq)


def _tell(decided: PoisonDecided, out: Output) -> int:
    event = f"{decided.organisation}:{decided.seq}"
    if out.as_json:
        out.json(decided)
    elif decided.state == "due":
        out.talk(f"{event} is tried again by `callboard projection rebuild {decided.projection}`")
    elif decided.at < decided.seq:
        out.talk(f"{decided.projection} still stops before {event}")
    else:
        how = "passed over" if decided.state == "skipped" else "folded"
        out.talk(f"{how} {event}; {decided.projection} is at {decided.organisation}:{decided.at}")
    return NOT_AS_EXPECTED if decided.state == "stopped" and decided.at < decided.seq else OK


def rebuild_projection(args: Namespace, out: Output) -> int:
    """`projection rebuild`: waits until it is done; exit code 4 when the rebuilt rows are other ones."""
    with connect(args) as callboard, _progress(out) as show:
        done = _wait(callboard, args.name, show)
    if out.as_json:
        out.json(done)
    if done.state == "failed":
        out.talk(f"the rebuild of {args.name} failed: {done.problem or 'see the log of projections'}")
        return FAILED
    same = done.checksum_before == done.checksum_after
    out.talk(f"rebuilt {args.name} from {done.events} events in {done.seconds:.1f} s; {_compared(same)}")
    return OK if same else NOT_AS_EXPECTED


def _compared(same: bool) -> str:
    return "the rows are the same as before" if same else "the rows DIFFER from those before"


def _wait(callboard: Callboard, name: str, show: Progress) -> Rebuilt:
    state = callboard.rebuild_projection(name)
    while state.state == "running":
        show(state)
        time.sleep(_POLL_SECONDS)
        state = callboard.rebuild_state(name)
    show(state)
    return state


@contextmanager
def _progress(out: Output) -> Iterator[Progress]:
    if not sys.stderr.isatty():
        yield lambda _state: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    with Bar(TextColumn("rebuilding"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("rebuilding", total=None)
        yield lambda state: bar.update(task, completed=state.events, total=state.of_events or None)
