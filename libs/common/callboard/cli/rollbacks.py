"""`callboard playbook rollback` and `callboard playbook undo`."""

from __future__ import annotations

from argparse import Namespace

from callboard.cli.changes import change_lines, client_lines
from callboard.cli.exit_codes import NOT_AS_EXPECTED, OK
from callboard.cli.output import Output
from callboard.cli.refusals import Refused
from callboard.cli.target import connect, reference_of
from callboard.contracts.playbooks import RolledBack


def roll_back(args: Namespace, out: Output) -> int:
    """`playbook rollback NAME --to N -m WHY [--dry-run]`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        done = callboard.roll_back(
            organisation, name, args.to, args.message, expected=args.expected, dry_run=args.dry_run
        )
    return _told(done, f"{organisation}/{name}", args, out)


def undo(args: Namespace, out: Output) -> int:
    """`playbook undo NAME -m WHY [--dry-run]`: the content before the last change becomes the next version."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        current = callboard.version(organisation, name).line.version
        if current < 2:
            raise Refused(f"{organisation}/{name} has one version only: there is no change to take back")
        done = callboard.roll_back(
            organisation, name, current - 1, args.message, expected=current, dry_run=args.dry_run
        )
    return _told(done, f"{organisation}/{name}", args, out)


def _told(done: RolledBack, name: str, args: Namespace, out: Output) -> int:
    if out.as_json:
        out.json(done)
    else:
        verb = "would have" if args.dry_run else "has"
        out.text(f"{name}: version {done.version} {verb} the content of version {done.to_version}")
        for line in (*change_lines(done.changes), *done.notes, *client_lines(done.clients)):
            out.text(f"  {line}")
    changes = bool(done.changes) if args.dry_run else bool(done.seq)
    return NOT_AS_EXPECTED if args.exit_code and changes else OK
