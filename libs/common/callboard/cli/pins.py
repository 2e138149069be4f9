"""`callboard playbook pin`, `unpin` and `pins`: which version a client is served."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect, organisation_of, reference_of
from callboard.contracts.assignments import PinLine
from callboard.kernel.names import version_number


def version_of(text: str) -> int:
    """`@3` or `3` as the number of a version."""
    number = version_number(text.removeprefix("@"))
    if number is None:
        raise WrongUsage(f"{text!r} is no version; write it like @3")
    return number


def pin(args: Namespace, out: Output) -> int:
    """`playbook pin NAME CLIENT @N -m WHY`."""
    version = version_of(args.version)
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        done = callboard.pin(organisation, name, args.client, version, args.message)
    if out.as_json:
        out.json(done)
    said = f"{args.client} is served {organisation}/{name}@{version} from now on"
    out.talk(said if done.seq else "nothing changed: it is pinned to that version already")
    return OK


def unpin(args: Namespace, out: Output) -> int:
    """`playbook unpin NAME CLIENT -m WHY`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        done = callboard.unpin(organisation, name, args.client, args.message)
    if out.as_json:
        out.json(done)
    said = f"{args.client} is served what everybody is served of {organisation}/{name}"
    out.talk(said if done.seq else "nothing changed: it is not pinned")
    return OK


def list_pins(args: Namespace, out: Output) -> int:
    """`playbook pins [NAME]`."""
    with connect(args) as callboard:
        if args.name:
            organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        else:
            organisation, name = organisation_of(args, callboard), ""
        found = callboard.pins(organisation, name)
    if out.as_json:
        out.json(found)
    else:
        columns = ("playbook", "client", "version", "when", "who", "why")
        rows = [(p.playbook, p.client, p.version, p.pinned_at, p.pinned_by, p.comment) for p in found.pins]
        out.table(columns, rows, "no client is pinned")
    return OK


def clients_of(pins: Iterable[PinLine], version: int) -> str:
    """Who is pinned to a version, with commas; empty for nobody."""
    return ", ".join(pin.client for pin in pins if pin.version == version)
