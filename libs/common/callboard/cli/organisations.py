"""`callboard org` and `callboard server`."""

from __future__ import annotations

from argparse import Namespace

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.target import connect, organisation_of, reference_of
from callboard.contracts.records import ServerLine


def list_organisations(args: Namespace, out: Output) -> int:
    """`org ls`."""
    with connect(args) as callboard:
        found = callboard.organisations()
    if out.as_json:
        out.json(found)
    else:
        rows = [(line.organisation, line.title, line.seq, line.created_at) for line in found.organisations]
        out.table(("organisation", "title", "seq", "created"), rows, "there is no organisation yet")
    return OK


def create_organisation(args: Namespace, out: Output) -> int:
    """`org create`."""
    with connect(args) as callboard:
        done = callboard.create_organisation(args.name, args.title)
    if out.as_json:
        out.json(done)
    out.talk(f"created {args.name}" if done.seq else f"{args.name} was there already")
    return OK


def list_servers(args: Namespace, out: Output) -> int:
    """`server ls`."""
    with connect(args) as callboard:
        found = callboard.servers(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
    else:
        columns = ("server", "where", "tools", "prompts", "resources", "discovered", "quarantined")
        out.table(columns, [_row(line) for line in found.servers], "no server is registered")
    return OK


def _row(line: ServerLine) -> tuple[object, ...]:
    definition = line.definition
    where = definition.url or " ".join(definition.command or ())
    counts = (line.tools, line.prompts, line.resources)
    return (line.server, where, *counts, line.discovered_at, line.quarantined)


def retire_server(args: Namespace, out: Output) -> int:
    """`server rm`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        done = callboard.retire_server(organisation, name, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"retired server {organisation}/{name}" if done.seq else "nothing changed")
    return OK
