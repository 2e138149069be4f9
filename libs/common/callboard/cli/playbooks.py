"""`callboard playbook`."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime

import msgspec

from callboard.cli.canary import shown
from callboard.cli.changes import change_lines
from callboard.cli.exit_codes import NOT_AS_EXPECTED, OK
from callboard.cli.moments import moment_of
from callboard.cli.output import Output, moment
from callboard.cli.pins import clients_of
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect, organisation_of, reference_of
from callboard.client import Callboard
from callboard.contracts.records import Diff, PlaybookLine, Version


def list_playbooks(args: Namespace, out: Output) -> int:
    """`playbook ls`."""
    with connect(args) as callboard:
        found = callboard.playbooks(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
    else:
        columns = ("playbook", "version", "tools", "servers", "access", "changed", "by", "canary", "title")
        rows = [
            (p.playbook, p.version, p.tools, p.servers, p.access, p.changed_at, p.changed_by, _tried(p), p.title)
            for p in found.playbooks
            if not p.retired
        ]
        out.table(columns, rows, "there is no playbook yet")
    return OK


def _tried(line: PlaybookLine) -> str | None:
    return None if line.canary is None else f"@{line.canary.version} {line.canary.percent:g} %"


def history(args: Namespace, out: Output) -> int:
    """`playbook history`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        found = callboard.history(organisation, name)
    if out.as_json:
        out.json(found)
    else:
        columns = ("version", "when", "who", "what", "tools", "content", "pinned", "why")
        rows = [
            (
                v.version,
                v.recorded_at,
                v.actor,
                _reason(v.reason, v.rolled_back_to),
                v.tools,
                v.content_digest[:19],
                clients_of(found.pins, v.version) or None,
                v.comment,
            )
            for v in found.versions
        ]
        out.table(columns, rows)
        if found.canary is not None:
            out.talk(f"a canary runs: {shown(found.canary)}")
    return OK


def _reason(reason: str, rolled_back_to: int | None) -> str:
    words = reason.replace("_", " ")
    if rolled_back_to is None:
        return words
    return f"{words} {rolled_back_to}" if reason == "promoted" else f"{words} to {rolled_back_to}"


def show(args: Namespace, out: Output) -> int:
    """`playbook show NAME@N`, or `playbook show NAME --at TIME`."""
    at = moment_of(args.at, datetime.now().astimezone()) if args.at else None
    with connect(args) as callboard:
        organisation, name, number = reference_of(args.name, args, callboard)
        if number and at is not None:
            raise WrongUsage("choose a version either by @N or by --at")
        found = callboard.version(organisation, name, number, at)
    if out.as_json:
        out.json(found)
    else:
        _print_version(found, out)
    return OK


def _print_version(found: Version, out: Output) -> None:
    line, content = found.line, found.content
    out.text(f"{found.organisation}/{found.playbook}@{line.version}  {line.content_digest}")
    out.text(
        f"{_reason(line.reason, line.rolled_back_to)} by {line.actor} at {moment(line.recorded_at)}: {line.comment}"
    )
    for pin in found.pins:
        out.text(f"  serves client {pin.client}, pinned by {pin.pinned_by} at {moment(pin.pinned_at)}: {pin.comment}")
    if found.canary is not None:
        tried = found.canary
        out.text(f"  is tried, {shown(tried)}")
        out.text(f"    started by {tried.started_by} at {moment(tried.started_at)}: {tried.comment}")
    for kind, items in (("tool", content.tools), ("prompt", content.prompts), ("resource", content.resources)):
        for name, item in items.items():
            out.text(f"  {kind} {name}  ({item.server} {item.name}, {item.digest[:19]})")
    import yaml

    definition = yaml.safe_dump(msgspec.to_builtins(content.definition), sort_keys=False, allow_unicode=True)
    out.text("definition:\n" + "".join(f"  {text}\n" for text in definition.splitlines()).rstrip())


def diff(args: Namespace, out: Output) -> int:
    """`playbook diff NAME@1 NAME@2`; one name alone is compared with the version before the current one."""
    with connect(args) as callboard:
        found = _diff(args, callboard)
    if out.as_json:
        out.json(found)
    else:
        for line in change_lines(found.changes):
            out.text(line)
    if not found.changes:
        out.talk(f"versions {found.before} and {found.after} are the same")
    return NOT_AS_EXPECTED if args.exit_code and found.changes else OK


def _diff(args: Namespace, callboard: Callboard) -> Diff:
    organisation, name, before = reference_of(args.before, args, callboard)
    after = 0
    if args.after is not None:
        other_organisation, other, after = reference_of(args.after, args, callboard)
        if (other_organisation, other) != (organisation, name):
            raise WrongUsage("a diff is between two versions of one playbook")
    if not before or not after:
        current = callboard.version(organisation, name).line.version
        after = after or current
        before = before or max(1, after - 1)
    return callboard.diff(organisation, name, before, after, args.days)


def retire(args: Namespace, out: Output) -> int:
    """`playbook rm NAME -m WHY`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        done = callboard.retire_playbook(organisation, name, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"retired playbook {organisation}/{name}" if done.seq else "nothing changed")
    return OK
