"""`callboard replay`: recorded calls run again on another version, and what is another answer now."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from callboard.cli.apply import read_file
from callboard.cli.exit_codes import NOT_AS_EXPECTED, OK
from callboard.cli.moments import moment_of
from callboard.cli.output import Output
from callboard.cli.records import playbook_of
from callboard.cli.refusals import Refused, WrongUsage
from callboard.cli.target import connect, organisation_of, reference_of
from callboard.client import Callboard
from callboard.contracts.definitions import PlaybookDefinition
from callboard.contracts.management import ReplayCall
from callboard.contracts.problems import Problem
from callboard.contracts.records import Difference, Replayed
from callboard.kernel.playbook_file import parse

_PAGE: Final = 200
_TALK_SECONDS: Final = 2.0
_SKIPPED: Final = ("call.not_replayable", "call.unknown")
_RAN: Final = ("ok", "tool_error")


class Skipped(msgspec.Struct, frozen=True):
    """A call that did not run again, and why."""

    call_id: str
    why: str


class Replays(msgspec.Struct):
    """All that `replay` found."""

    replayed: list[Replayed] = []
    skipped: list[Skipped] = []

    @property
    def different(self) -> list[Replayed]:
        """The calls that are answered otherwise now."""
        return [one for one in self.replayed if not one.same]


class Target(msgspec.Struct, frozen=True):
    """What the calls run on: a version, or a playbook as a file or its draft has it (`candidate`)."""

    organisation: str
    playbook: str
    version: int = 0
    candidate: PlaybookDefinition | None = None


def replay(args: Namespace, out: Output) -> int:
    """`replay CALL… | --last N [NAME]`, `--against @N`, `--against-file FILE` or `--against-draft NAME`."""
    if args.last is None and not args.call_id:
        raise WrongUsage("name calls, or take the last ones of a playbook with --last N")
    if args.last is not None and len(args.call_id) > 1:
        raise WrongUsage("--last N takes the calls itself; beside it stands at most the name of a playbook")
    with connect(args) as callboard:
        target = _target(args, callboard, out)
        found = Replays()
        spoken = time.monotonic()
        for call_id in _last_calls(args, callboard, target) if args.last is not None else args.call_id:
            _replay_one(callboard, target, _wish(args, call_id, target), found)
            if time.monotonic() - spoken > _TALK_SECONDS:
                spoken = time.monotonic()
                out.talk(f"{len(found.replayed)} replayed, {len(found.different)} differ …")
    _tell(found, out)
    if not found.replayed:
        raise Refused("no call was run again")
    return NOT_AS_EXPECTED if found.different and args.exit_code else OK


def _target(args: Namespace, callboard: Callboard, out: Output) -> Target:
    if args.against_file is not None:
        return _candidate(args, callboard, out)
    if args.against_draft is not None:
        organisation, playbook, _ = reference_of(args.against_draft, args, callboard, version=False)
        return Target(organisation, playbook, candidate=callboard.draft(organisation, playbook).definition)
    return Target(*_against(args, callboard))


def _candidate(args: Namespace, callboard: Callboard, out: Output) -> Target:
    """The playbook of the file that is meant: the one that is named, or the only one."""
    name, text = read_file(args.against_file)
    wanted = parse(text, name)
    organisation, playbook = wanted.organisation, ""
    named = args.call_id[0] if args.last is not None and args.call_id else playbook_of(args)[0]
    if named:
        organisation, playbook, _ = reference_of(named, args, callboard) if "/" in named else (organisation, named, 0)
    elif len(wanted.playbooks) == 1:
        playbook = next(iter(wanted.playbooks))
    if organisation != wanted.organisation or playbook not in wanted.playbooks:
        names = ", ".join(sorted(wanted.playbooks))
        raise WrongUsage(f"{name} is about the playbooks {names} of {wanted.organisation}: name one of them")
    known = {line.server: line.definition for line in callboard.servers(organisation).servers}
    for server in wanted.playbooks[playbook].servers:
        if server in wanted.servers and known.get(server, wanted.servers[server]) != wanted.servers[server]:
            out.talk(f"server {server} is another one in the file; the calls run on the one that is registered")
    return Target(organisation, playbook, candidate=wanted.playbooks[playbook])


def _against(args: Namespace, callboard: Callboard) -> tuple[str, str, int]:
    """Organisation, playbook and version; a bare `@N` is of the playbook that is named, or of the first call."""
    text = str(args.against)
    if text.startswith("@"):
        organisation = organisation_of(args, callboard)
        named = args.call_id[0] if args.last is not None and args.call_id else playbook_of(args)[0]
        name = named or _playbook_of_call(args, callboard, organisation)
        text = f"{name}{text}" if "/" in name else f"{organisation}/{name}{text}"
    found = reference_of(text, args, callboard)
    if not found[2]:
        raise WrongUsage(f"{args.against!r}: say which version, like {found[1]}@3")
    return found


def _playbook_of_call(args: Namespace, callboard: Callboard, organisation: str) -> str:
    if not args.call_id:
        raise WrongUsage(f"{args.against!r}: of which playbook? Write NAME{args.against}")
    calls = callboard.calls(organisation, call_id=args.call_id[0]).calls
    if not calls:
        raise Refused(f"no call {args.call_id[0]!r} is recorded (a record may take a second to arrive)")
    return calls[0].playbook


def _last_calls(args: Namespace, callboard: Callboard, target: Target) -> Iterator[str]:
    """The newest tool calls of agents that ran, up to --last."""
    name, version = playbook_of(args)
    filters: dict[str, object] = {
        "playbook": name or target.playbook,
        "version": version,
        "since": moment_of(args.since, datetime.now().astimezone()),
        "until": datetime.now().astimezone(),
        "limit": _PAGE,
    }
    left, cursor = int(args.last), ""
    while left > 0:
        page = callboard.calls(target.organisation, cursor=cursor, **filters)
        for call in page.calls:
            if call.method == "tools/call" and call.outcome in _RAN and not call.replay_of and left > 0:
                left -= 1
                yield call.call_id
        cursor = page.cursor
        if not cursor:
            return


def _wish(args: Namespace, call_id: str, target: Target) -> ReplayCall:
    return ReplayCall(
        call_id=call_id,
        version=target.version,
        candidate=target.candidate,
        unsafe=tuple(args.unsafe),
        ignore=tuple(args.ignore),
        ignore_times=args.ignore_times,
    )


def _replay_one(callboard: Callboard, target: Target, wish: ReplayCall, found: Replays) -> None:
    try:
        found.replayed.append(callboard.replay(target.organisation, target.playbook, wish))
    except Problem as problem:
        if problem.code not in _SKIPPED:
            raise
        found.skipped.append(Skipped(wish.call_id, problem.message))


def _tell(found: Replays, out: Output) -> None:
    different = found.different
    if out.as_json:
        figures = {"same": len(found.replayed) - len(different), "different": len(different)}
        out.json({**figures, "replayed": found.replayed, "skipped": found.skipped})
        return
    for one in different:
        took = f"{one.us_before / 1000:.1f} > {one.us_after / 1000:.1f} ms"
        out.text(f"{one.call_id}  {one.tool}  {one.outcome_before} > {one.outcome_after}  {took}")
        for difference in one.differences:
            out.text(f"    {_line(difference)}")
    for skipped in found.skipped:
        out.talk(skipped.why)
    outcomes = sum(one.compared == "outcome" for one in found.replayed)
    only = f" ({outcomes} by how they ended only: no result was recorded)" if outcomes else ""
    out.talk(f"{len(found.replayed)} replayed{only}, {len(different)} differ, {len(found.skipped)} did not run")


def _line(difference: Difference) -> str:
    return f"{difference.path}: {_short(difference.before)} > {_short(difference.after)}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"
