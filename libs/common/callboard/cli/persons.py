"""`callboard person` and `callboard erase`."""

from __future__ import annotations

from argparse import Namespace

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.target import connect, organisation_of


def list_persons(args: Namespace, out: Output) -> int:
    """`person ls`."""
    with connect(args) as callboard:
        found = callboard.persons(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
    else:
        rows = [(p.person, p.name or None, p.known_since, p.erased_at) for p in found.persons]
        out.table(("person", "name", "known since", "erased"), rows, "no token was issued to a person")
    return OK


def erase_person(args: Namespace, out: Output) -> int:
    """`erase`: there is no way back, not even by a backup that is restored with `--erasures`."""
    with connect(args) as callboard:
        done = callboard.erase_person(args.organisation, args.person, args.message)
    if out.as_json:
        out.json(done)
    elif not done.seq:
        out.talk("nothing changed: that happened before")
    else:
        out.talk(f"erased, event {done.seq}; tokens are refused, and what named this person reads [erased]")
        out.talk("a backup made before now still holds the key: keep an export of this log (`callboard audit export`)")
        out.talk("and restore such a backup with --erasures EXPORT")
    return OK
