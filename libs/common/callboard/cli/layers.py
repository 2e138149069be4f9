"""`callboard layer`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable

import msgspec
import yaml

from callboard.cli.apply import read_file
from callboard.cli.changes import change_lines
from callboard.cli.exit_codes import NOT_AS_EXPECTED, OK
from callboard.cli.output import Output, moment
from callboard.cli.target import connect, organisation_of
from callboard.client import Callboard
from callboard.contracts.layers import OutdatedPlaybook
from callboard.kernel.playbook_file import parse_layer


def list_layers(args: Namespace, out: Output) -> int:
    """`layer ls`."""
    with connect(args) as callboard:
        found = callboard.layers(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
        return OK
    columns = ("layer", "version", "prompts", "resources", "content")
    rows = [
        (_named(line.scope, line.project), line.version, line.prompts, line.resources, line.digest[:19])
        for line in found.layers
    ]
    out.table(columns, rows, "there is no layer yet")
    _print_outdated(found.outdated, out)
    return OK


def show(args: Namespace, out: Output) -> int:
    """`layer show [--project NAME | --system] [--version N]`."""
    with connect(args) as callboard:
        found = callboard.layer(_organisation(args, callboard), args.project, args.number)
    if out.as_json:
        out.json(found)
        return OK
    out.talk(f"{_called(args)}: version {found.version}  {found.digest}")
    for line in found.versions:
        out.talk(f"  version {line.version} by {line.actor} at {moment(line.at)}: {line.comment}")
    # What `layer publish -f` takes.
    out.text(yaml.safe_dump(msgspec.to_builtins(found.layer), sort_keys=False, allow_unicode=True).rstrip())
    return OK


def publish(args: Namespace, out: Output) -> int:
    """`layer publish -f FILE -m WHY [--project NAME | --system] [--dry-run]`."""
    name, text = read_file(args.file)
    layer = parse_layer(text, name)
    with connect(args) as callboard:
        done = callboard.publish_layer(
            layer,
            args.message,
            organisation=_organisation(args, callboard),
            project=args.project,
            expected=args.expect_version,
            dry_run=args.dry_run,
        )
    if out.as_json:
        out.json(done)
    else:
        verb = "would be" if args.dry_run else "is"
        state = (
            f"version {done.version} {verb} published" if done.changed else f"version {done.version} has this content"
        )
        out.text(f"{_called(args)}: {state}")
        for line in change_lines(done.changes):
            out.text(f"  {line}")
        _print_outdated(done.outdated, out)
    if done.unused:
        out.talk(f"no playbook gets it: none has `project: {args.project}` in its definition (yet)")
    return NOT_AS_EXPECTED if args.exit_code and done.changed else OK


def _organisation(args: Namespace, callboard: Callboard) -> str:
    return "" if args.system else organisation_of(args, callboard)


def _called(args: Namespace) -> str:
    return f"layer {_named('system' if args.system else 'organisation', args.project)}"


def _named(scope: str, project: str) -> str:
    return f"project {project}" if project else scope


def _print_outdated(outdated: Iterable[OutdatedPlaybook], out: Output) -> None:
    for line in outdated:
        name = f"{line.organisation}/{line.playbook}"
        out.text(
            f"{name}@{line.version} holds another {', '.join(line.layers)}: `callboard publish {name}` takes it over"
        )
