"""`callboard calls`: which calls there were, and all that is known of one."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime
from typing import Any

import msgspec

from callboard.cli.events import following
from callboard.cli.exit_codes import OK
from callboard.cli.moments import moment_of
from callboard.cli.output import Output, moment
from callboard.cli.refusals import Refused, WrongUsage
from callboard.cli.target import connect, organisation_of
from callboard.client import Callboard
from callboard.contracts.calls import CallRecord
from callboard.kernel.names import version_number

_COLUMNS = ("when", "playbook", "tool", "outcome", "ms", "client", "call id")
_FILTERS = ("tool", "server", "client", "principal", "era", "outcome", "digest", "cursor", "limit")


def list_calls(args: Namespace, out: Output) -> int:
    """`calls ls`."""
    with connect(args) as callboard:
        found = callboard.calls(organisation_of(args, callboard), **filters_of(args))
    if out.as_json:
        out.json(found)
        return OK
    out.table(_COLUMNS, [call_row(call) for call in found.calls], "no call is recorded")
    if found.cursor:
        out.talk(f"there are more: --cursor {found.cursor}")
    return OK


def filters_of(args: Namespace) -> dict[str, object]:
    """What of the command line chooses calls, as fields of `AskCalls`."""
    now = datetime.now().astimezone()
    playbook, version = playbook_of(args)
    found: dict[str, object] = {name: getattr(args, name) for name in _FILTERS}
    found |= {"playbook": playbook, "version": version, "trace_id": args.trace}
    found |= {"min_us": int(args.slower_than * 1000)}
    found |= {name: moment_of(text, now) for name in ("since", "until") if (text := getattr(args, name))}
    return found


def playbook_of(args: Namespace) -> tuple[str, int]:
    """`--playbook NAME[@N]` as name and version; 0 for all of them."""
    name, _, version = args.playbook.partition("@")
    if not version:
        return name, 0
    number = version_number(version)
    if number is None or not name:
        raise WrongUsage(f"{args.playbook!r} is not NAME or NAME@N")
    return name, number


def show_call(args: Namespace, out: Output) -> int:
    """`calls show ID`: everything that is known of it, and with `--definition` the tool as it was defined then."""
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        call = one_call(callboard, organisation, args.call_id)
        if args.definition:
            return _show_definition(callboard, organisation, call, out)
    if out.as_json:
        out.json(call)
        return OK
    for field in call.__struct_fields__:
        value = getattr(call, field)
        if value not in ("", None) and field != "content":
            out.text(f"{field:15} {value}")
    if call.content is not None:
        _show_content(call.content.arguments, call.content.result, out)
        for place in (*call.content.redacted, *(f"/{name} (too large)" for name in call.content.omitted)):
            out.text(f"{'not kept':15} {place}")
    return OK


def one_call(callboard: Callboard, organisation: str, call_id: str) -> CallRecord:
    """The record of a call; raises `Refused` when there is none."""
    found = callboard.calls(organisation, call_id=call_id).calls
    if not found:
        raise Refused(f"no call {call_id!r} is recorded (a record may take a second to arrive)")
    return found[0]


def _show_content(arguments: Any, result: Any, out: Output) -> None:
    for name, value in (("arguments", arguments), ("result", result)):
        if value is not None:
            out.text(f"{name}:")
            out.json(value)


def _show_definition(callboard: Callboard, organisation: str, call: CallRecord, out: Output) -> int:
    if not call.digest:
        raise Refused(f"call {call.call_id} was answered without a definition ({call.method} {call.problem})".rstrip())
    found = callboard.definition(organisation, call.digest)
    if not out.as_json:
        out.talk(f"{found.kind} {found.name} of server {found.server}, {found.digest}")
        out.talk(f"first seen {moment(found.first_seen)}; called as {call.tool} in {call.playbook}@{call.version}")
    out.json(found if out.as_json else msgspec.json.decode(found.definition))
    return OK


def tail_calls(args: Namespace, out: Output) -> int:
    """`calls tail`: one line per call until it is interrupted."""
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        for call in following(callboard.tail_calls(organisation), f"calls of {organisation}", args.count, out):
            if out.as_json:
                out.json_line(call)
            else:
                out.text("  ".join(str(cell) for cell in call_row(call)))
    return OK


def call_row(call: CallRecord) -> tuple[object, ...]:
    """A call as a line of a table."""
    milliseconds = f"{call.total_us / 1000:.1f}"
    playbook = f"{call.playbook}@{call.version}"
    what = call.tool if call.method == "tools/call" else f"{call.method} {call.tool}".strip()
    outcome = " ".join(word for word in (call.outcome, call.problem, "(replay)" if call.replay_of else "") if word)
    return (moment(call.started_at), playbook, what, outcome, milliseconds, call.client, call.call_id)
