"""`callboard drift`: what servers changed since it was published, and what shall become of it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable

from callboard.cli.changes import change_lines
from callboard.cli.exit_codes import NOT_AS_EXPECTED, OK
from callboard.cli.output import Output
from callboard.cli.refusals import Refused, WrongUsage
from callboard.cli.target import connect, organisation_of, reference_of
from callboard.contracts.drift import DriftChoice, HeldThing


def list_held(args: Namespace, out: Output) -> int:
    """`drift ls [--exit-code]`."""
    with connect(args) as callboard:
        found = callboard.held(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
    else:
        columns = ("playbook", "version", "what", "server", "change", "state", "approver")
        rows = [
            (
                thing.playbook,
                thing.version,
                f"{thing.drift.kind} {thing.drift.name}",
                thing.drift.server,
                thing.drift.change,
                _state(thing),
                thing.approver or None,
            )
            for thing in found.held
        ]
        out.table(columns, rows, "nothing is held back")
    return NOT_AS_EXPECTED if args.exit_code and found.held else OK


def _state(thing: HeldThing) -> str:
    return "rejected" if thing.rejected else "held"


def show(args: Namespace, out: Output) -> int:
    """`drift show NAME [TOOL...]`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        found = callboard.held(organisation, name)
    held = _chosen(args.tools, found.held) if args.tools else found.held
    if out.as_json:
        out.json({"held": held, "notes": found.notes})
        return OK
    for thing in held:
        drift = thing.drift
        out.text(f"{drift.kind} {drift.name}: {drift.change} by server {drift.server}, {_state(thing)}")
        for line in change_lines(thing.changes):
            out.text(f"  {line}")
        for conflict in drift.conflicts:
            out.text(f"  conflict: {conflict}")
        if thing.approver:
            out.text(f"  only {thing.approver} may approve this")
    for note in found.notes:
        out.talk(note)
    if not held:
        out.talk("nothing is held back")
    return OK


def approve(args: Namespace, out: Output) -> int:
    """`drift approve NAME TOOL... -m WHY`, or `--all`."""
    return _decide(args, out, approving=True)


def reject(args: Namespace, out: Output) -> int:
    """`drift reject NAME TOOL... -m WHY`, or `--all`."""
    return _decide(args, out, approving=False)


def _decide(args: Namespace, out: Output, *, approving: bool) -> int:
    if bool(args.tools) == args.all:
        raise WrongUsage("name what is decided about, or say --all")
    if args.digest and len(args.tools) != 1:
        raise WrongUsage("--digest goes with the name of one thing")
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        held = callboard.held(organisation, name).held
        if args.all and not held:
            out.talk("nothing is held back")
            return OK
        chosen = held if args.all else _chosen(args.tools, held)
        things = tuple(
            DriftChoice(kind=thing.drift.kind, name=thing.drift.name, after=args.digest or thing.drift.after)
            for thing in chosen
        )
        decide = callboard.approve_drift if approving else callboard.reject_drift
        done = decide(organisation, name, things, args.message)
    if out.as_json:
        out.json(done)
    for drift in done.things:
        word = "approved" if approving else "rejected"
        out.talk(f"{word} {drift.kind} {drift.name} ({drift.after[:19] or 'gone'})")
    if approving:
        out.talk(f"{organisation}/{name} is at version {done.version}")
    return OK


def _chosen(names: Iterable[str], held: Iterable[HeldThing]) -> tuple[HeldThing, ...]:
    found = []
    for name in names:
        fitting = [thing for thing in held if thing.drift.name == name]
        if not fitting:
            raise Refused(f"{name} is not held back; `callboard drift ls` says what is")
        found += fitting
    return tuple(found)
