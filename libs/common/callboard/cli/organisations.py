"""`callboard org` and `callboard server`."""

from __future__ import annotations

from argparse import Namespace

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.target import connect, organisation_of, reference_of
from callboard.contracts.plans import Quotas
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


def show_organisation(args: Namespace, out: Output) -> int:
    """`org show`."""
    with connect(args) as callboard:
        found = callboard.usage(args.name or organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
        return OK
    limits, calls = found.quotas, "not counted" if found.calls_today is None else found.calls_today
    rows = [
        ("playbooks", found.playbooks, _limit(limits.playbooks)),
        ("servers", found.servers, _limit(limits.servers)),
        ("calls today (UTC)", calls, _limit(limits.calls_per_day)),
    ]
    out.text(f"{found.organisation}: {f'plan {found.plan}' if found.plan else 'no plan'}")
    out.table(("", "used", "allowed"), rows)
    return OK


def _limit(figure: int | None) -> object:
    return "any number" if figure is None else figure


def choose_plan(args: Namespace, out: Output) -> int:
    """`org plan`."""
    quotas = Quotas(playbooks=args.playbooks, servers=args.servers, calls_per_day=args.calls_per_day)
    with connect(args) as callboard:
        done = callboard.choose_plan(args.name, args.plan, quotas, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"{args.name} has the plan {args.plan}" if done.seq else "nothing changed")
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
