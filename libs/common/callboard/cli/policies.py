"""`callboard policy`, and `callboard server off` and `on`."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from datetime import datetime
from typing import Any

import msgspec
import yaml

from callboard.cli.apply import read_file
from callboard.cli.exit_codes import NOT_AS_EXPECTED, OK, USAGE
from callboard.cli.moments import moment_of
from callboard.cli.output import Output, moment
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect, organisation_of, reference_of
from callboard.client import Callboard
from callboard.contracts.policies import Attempt, PolicyRehearsed, PolicyVerdict
from callboard.contracts.policy_definitions import PolicyCallers
from callboard.kernel.playbook_file import FileRefused
from callboard.kernel.policy_file import PolicyFile, parse_policies


def list_policies(args: Namespace, out: Output) -> int:
    """`policy ls`."""
    with connect(args) as callboard:
        found = callboard.policies(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
        return OK
    rows = [
        (line.policy, line.definition.layer, _callers(line.definition.callers), line.definition.playbooks, _says(line))
        for line in found.policies
    ]
    out.table(("policy", "layer", "for", "playbooks", "says"), rows, "there is no policy: playbooks say it all")
    for server in found.switched_off:
        out.text(f"server {server} is switched off; `callboard server on {server}` gives it back")
    return OK


def _callers(callers: PolicyCallers | None) -> str:
    return "everybody" if callers is None else ", ".join((*callers.clients, *callers.keys, *callers.members))


def _says(line: Any) -> tuple[str, ...]:
    told = msgspec.to_builtins(line.definition)
    return tuple(key for key in told if key not in ("layer", "description", "for", "playbooks"))


def show(args: Namespace, out: Output) -> int:
    """`policy show NAME`."""
    with connect(args) as callboard:
        found = callboard.policy(organisation_of(args, callboard), args.name)
    if out.as_json:
        out.json(found)
        return OK
    for change in found.changes:
        verb = "removed" if change.definition is None else "set"
        out.talk(f"{verb} by {change.actor} at {moment(change.at)}: {change.comment}")
    if found.definition is None:
        out.talk(f"policy {found.policy} was removed")
        return OK
    # What `policy set -f` takes.
    file = {"version": 1, "policies": {found.policy: msgspec.to_builtins(found.definition)}}
    out.text(yaml.safe_dump(file, sort_keys=False, allow_unicode=True).rstrip())
    return OK


def set_policies(args: Namespace, out: Output) -> int:
    """`policy set -f FILE [NAME...] -m WHY [--dry-run]`."""
    file = _read(args.file)
    if file is None:
        return USAGE
    wanted = args.names or sorted(file.policies)
    missing = [name for name in wanted if name not in file.policies]
    if missing or not wanted:
        raise WrongUsage(f"{args.file} has no policy {', '.join(missing) or 'at all; they stand below `policies:`'}")
    with connect(args) as callboard:
        organisation = _organisation(args, file, callboard)
        # All or none, as far as that can be seen before.
        for name in wanted:
            callboard.set_policy(organisation, name, file.policies[name], args.message, dry_run=True)
        done = {
            name: callboard.set_policy(organisation, name, file.policies[name], args.message, dry_run=args.dry_run)
            for name in wanted
        }
    if out.as_json:
        out.json(done)
        return OK
    for name, one in done.items():
        said = "says this already" if not one.changed else "would be set" if args.dry_run else "is set"
        out.text(f"policy {name} {said}")
    return OK


def remove(args: Namespace, out: Output) -> int:
    """`policy rm NAME -m WHY`."""
    with connect(args) as callboard:
        done = callboard.remove_policy(organisation_of(args, callboard), args.name, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"policy {args.name} holds no more")
    return OK


def explain(args: Namespace, out: Output) -> int:
    """`policy explain PLAYBOOK NAME --as CLIENT`, or --key or --member; with arguments, at a time."""
    with connect(args) as callboard:
        organisation, playbook, _ = reference_of(args.playbook, args, callboard, version=False)
        attempt = Attempt(
            playbook=playbook,
            name=args.name,
            kind=args.kind,
            client=args.client,
            key=args.key,
            member=args.member,
            arguments=_arguments(args.json_args),
            at=moment_of(args.at, datetime.now().astimezone()) if args.at else None,
        )
        found = callboard.explain_policy(organisation, attempt)
    if out.as_json:
        out.json(found)
        return OK
    out.text(f"{args.kind} {args.name} is {'allowed' if found.allowed else 'denied'}")
    for verdict in found.verdicts:
        out.text(f"  {_verdict(verdict)}")
    for limit in found.limits:
        out.text(f"  limit: {limit}")
    return OK


def _verdict(verdict: PolicyVerdict) -> str:
    where = f"{verdict.layer} policy {verdict.policy}" if verdict.policy else verdict.layer
    return f"{where}: {'allows' if verdict.allowed else 'DENIES'}{f' ({verdict.rule})' if verdict.rule else ''}"


def _arguments(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise WrongUsage(f"--json-args is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise WrongUsage("--json-args is the object of the arguments")
    return found


def test(args: Namespace, out: Output) -> int:
    """`policy test -f FILE [--days N] [--only]`."""
    file = _read(args.file)
    if file is None:
        return USAGE
    with connect(args) as callboard:
        organisation = _organisation(args, file, callboard)
        found = callboard.test_policies(organisation, file.policies, file.expect, days=args.days, only=args.only)
    if out.as_json:
        out.json(found)
    else:
        _print_rehearsal(found, len(file.expect), out)
    return OK if found.as_expected and not (args.exit_code and found.denied) else NOT_AS_EXPECTED


def _print_rehearsal(found: PolicyRehearsed, expected: int, out: Output) -> None:
    out.text(f"{expected - len(found.surprises)} of {expected} expectations are met")
    for surprise in found.surprises:
        said = "allowed" if surprise.allowed else f"denied ({surprise.rule})"
        who = surprise.attempt.client or surprise.attempt.key or surprise.attempt.member or "anybody"
        out.text(f"  {surprise.attempt.kind} {surprise.attempt.name} of {surprise.attempt.playbook} for {who}: {said}")
    if found.calls:
        more = "" if found.complete else " (the newest; there are more)"
        out.text(f"of {found.calls} recorded calls{more} would be denied: {sum(line.calls for line in found.denied)}")
    if found.not_judged:
        out.text(f"recorded calls are not held against {', '.join(found.not_judged)}")
    for line in found.denied:
        out.text(f"  {line.calls} of {line.tool} of {line.playbook} by {line.client}: {line.rule} (like {line.newest})")


def switch_off(args: Namespace, out: Output) -> int:
    """`server off NAME -m WHY`."""
    return _switch(args, out, on=False)


def switch_on(args: Namespace, out: Output) -> int:
    """`server on NAME -m WHY`."""
    return _switch(args, out, on=True)


def _switch(args: Namespace, out: Output, *, on: bool) -> int:
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        done = callboard.switch_server(organisation, name, on=on, comment=args.message)
    if out.as_json:
        out.json(done)
    said = "is there again, as the playbooks say" if on else "is there for nobody any more"
    out.talk(f"server {name} {said}" if done.changed else f"nothing changed: server {name} is {'on' if on else 'off'}")
    return OK


def _read(path: str) -> PolicyFile | None:
    shown, text = read_file(path)
    try:
        return parse_policies(text, shown)
    except FileRefused as refused:
        print(refused, file=sys.stderr)
        return None


def _organisation(args: Namespace, file: PolicyFile, callboard: Callboard) -> str:
    if args.org and file.organisation and args.org != file.organisation:
        raise WrongUsage(f"the file is for {file.organisation}, and --org says {args.org}")
    return file.organisation or organisation_of(args, callboard)
