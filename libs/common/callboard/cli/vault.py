"""`callboard vault`: the keys that an organisation's secrets and tokens of servers are sealed with."""

from __future__ import annotations

from argparse import Namespace

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.target import connect, organisation_of


def rotate(args: Namespace, out: Output) -> int:
    """`vault rotate`."""
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        done = callboard.rotate_data_key(organisation)
    if out.as_json:
        out.json(done)
    out.talk(f"everything in the vault of {organisation} is sealed under a new key")
    return OK


def shred(args: Namespace, out: Output) -> int:
    """`vault shred`."""
    with connect(args) as callboard:
        done = callboard.shred_vault(args.organisation, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"the vault of {args.organisation} is destroyed, and so are copies of it in backups")
    return OK
