"""`callboard draft` and `callboard publish`."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import yaml

from callboard.cli.apply import read_file
from callboard.cli.changes import change_lines, client_lines
from callboard.cli.exit_codes import FAILED, NOT_AS_EXPECTED, OK
from callboard.cli.output import Output, moment
from callboard.cli.refusals import Refused, WrongUsage
from callboard.cli.target import connect, organisation_of, reference_of
from callboard.client import Callboard
from callboard.contracts.definitions import PlaybookDefinition
from callboard.contracts.drafts import Draft, DraftPublishing, DraftRevised, DraftStep
from callboard.contracts.problems import Problem
from callboard.kernel.playbook_file import parse, parse_playbook

_EDITOR: Final = "vi"


def list_drafts(args: Namespace, out: Output) -> int:
    """`draft ls`."""
    with connect(args) as callboard:
        found = callboard.drafts(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
    else:
        columns = ("playbook", "revision", "began at", "current", "outdated")
        rows = [(line.playbook, line.revision, line.base, line.current, line.outdated) for line in found.drafts]
        out.table(columns, rows, "there is no draft")
    return OK


def show(args: Namespace, out: Output) -> int:
    """`draft show NAME`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        draft = callboard.draft(organisation, name)
    if out.as_json:
        out.json(draft)
        return OK
    out.text(f"{organisation}/{name}: draft at revision {draft.revision}, over version {draft.base}")
    for edit in draft.edits:
        why = f": {edit.comment}" if edit.comment else ""
        out.text(f"  revision {edit.revision} by {edit.actor} at {moment(edit.at)}{why}")
    for line in change_lines(draft.changes):
        out.text(f"  {line}")
    if draft.published_since:
        out.text(f"published since, up to version {draft.current}; `draft rebase` takes it in:")
        for line in change_lines(draft.published_since):
            out.text(f"  {line}")
    for fault in draft.faults:
        out.text(f"cannot be published: {fault}")
    indented = "".join(f"  {text}\n" for text in text_of(draft.definition).splitlines())
    out.text(f"definition:\n{indented}".rstrip())
    return OK


def text_of(definition: PlaybookDefinition) -> str:
    """A definition as it stands below `playbooks: NAME:` in a file."""
    plain = msgspec.to_builtins(definition)
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)) if plain else ""


def edit(args: Namespace, out: Output) -> int:
    """`draft edit NAME [-f FILE]`: the whole definition, against the revision that was shown."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        draft = _draft_of(callboard, organisation, name)
        revision = draft.revision if draft is not None else 0
        if args.file:
            source, text = read_file(args.file)
        else:
            before = draft.definition if draft is not None else _published(callboard, organisation, name)
            source, text = "what you wrote", _edited_by_hand(text_of(before), f"{organisation}/{name}")
        definition = parse_playbook(text, source)
        expected = revision if args.expect_revision is None else args.expect_revision
        revised = callboard.edit_draft(organisation, name, (whole(definition),), args.message, expected=expected)
    return _told(revised, f"{organisation}/{name}", out)


def whole(definition: PlaybookDefinition) -> DraftStep:
    """The edit that replaces everything."""
    return DraftStep(path=(), value=msgspec.to_builtins(definition))


def from_file(args: Namespace, out: Output) -> int:
    """`apply -f FILE --draft`: each playbook of the file becomes its draft; servers stay as they are."""
    if args.watch is not None or args.dry_run or args.prune or args.accept_drift:
        raise WrongUsage("--draft publishes nothing: it goes with -f FILE, -m WHY and --exit-code only")
    source, text = read_file(args.file)
    wanted = parse(text, source)
    with connect(args) as callboard:
        known = {server.server: server.definition for server in callboard.servers(wanted.organisation).servers}
        revised = [
            callboard.edit_draft(
                wanted.organisation,
                name,
                (whole(definition),),
                args.message,
                expected=revision_of(callboard, wanted.organisation, name),
            )
            for name, definition in wanted.playbooks.items()
        ]
    if out.as_json:
        out.json(revised)
    else:
        for line in revised:
            _told(line, f"{wanted.organisation}/{line.playbook}", out)
    other = sorted(name for name, server in wanted.servers.items() if known.get(name) != server)
    if other:
        out.talk(f"a draft is of playbooks only; `callboard apply` takes over server {', '.join(other)}")
    return NOT_AS_EXPECTED if args.exit_code and any(line.seq for line in revised) else OK


def put(args: Namespace, out: Output) -> int:
    """`draft set NAME PATH=VALUE… [--unset PATH]`."""
    steps = [_step(text) for text in args.steps] + [DraftStep(path=_path(text), remove=True) for text in args.unset]
    if not steps:
        raise WrongUsage("say what to edit: PATH=VALUE, or --unset PATH")
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        revised = callboard.edit_draft(organisation, name, steps, args.message, expected=args.expect_revision)
    return _told(revised, f"{organisation}/{name}", out)


def rebase(args: Namespace, out: Output) -> int:
    """`draft rebase NAME [--prefer draft|version]`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        revised = callboard.rebase_draft(organisation, name, args.message, args.prefer)
    return _told(revised, f"{organisation}/{name}", out)


def discard(args: Namespace, out: Output) -> int:
    """`draft discard NAME`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        done = callboard.discard_draft(organisation, name, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"discarded the draft of {organisation}/{name}")
    return OK


def publish(args: Namespace, out: Output) -> int:
    """`publish NAME -m WHY [--dry-run]`, or `publish --outdated -m WHY`."""
    if args.outdated == (args.name is not None):
        raise WrongUsage("name a playbook, or say --outdated")
    if args.outdated:
        return _publish_outdated(args, out)
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        done = callboard.publish(
            organisation,
            name,
            args.message,
            expected_version=args.expect_version,
            expected_revision=args.expect_revision,
            accept_drift=args.accept_drift,
            dry_run=args.dry_run,
        )
    if out.as_json:
        out.json(done)
    else:
        _print_publishing(done, f"{organisation}/{name}", args.dry_run, out)
    return NOT_AS_EXPECTED if args.exit_code and done.changed else OK


def _publish_outdated(args: Namespace, out: Output) -> int:
    """One after the other; what is refused is told, and the others are published all the same."""
    if args.expect_version is not None or args.expect_revision is not None:
        raise WrongUsage("--expect-version and --expect-revision are about one playbook: name it")
    done, refused = [], 0
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        for line in callboard.layers(organisation).outdated:
            try:
                done.append(
                    callboard.publish(
                        organisation,
                        line.playbook,
                        args.message,
                        expected_version=line.version,
                        expected_revision=0,
                        accept_drift=args.accept_drift,
                        dry_run=args.dry_run,
                    )
                )
            except Problem as problem:
                refused += 1
                out.talk(f"{organisation}/{line.playbook}: {problem.message} ({problem.code})")
    if out.as_json:
        out.json(done)
    else:
        for one in done:
            _print_publishing(one, f"{organisation}/{one.playbook}", args.dry_run, out)
    if refused:
        return FAILED
    return NOT_AS_EXPECTED if args.exit_code and done else OK


def _print_publishing(done: DraftPublishing, name: str, dry_run: bool, out: Output) -> None:
    if done.changed:
        out.text(f"{name}: {'would publish' if dry_run else 'published'} version {done.version}")
    else:
        out.text(f"{name}: version {done.version} has this content already")
    for line in (*change_lines(done.changes), *done.notes, *client_lines(done.clients)):
        out.text(f"  {line}")


def _draft_of(callboard: Callboard, organisation: str, name: str) -> Draft | None:
    try:
        return callboard.draft(organisation, name)
    except Problem as problem:
        if problem.code != "draft.unknown":
            raise
        return None


def revision_of(callboard: Callboard, organisation: str, name: str) -> int:
    """The revision of the draft that there is; 0 for none."""
    draft = _draft_of(callboard, organisation, name)
    return draft.revision if draft is not None else 0


def _published(callboard: Callboard, organisation: str, name: str) -> PlaybookDefinition:
    try:
        return callboard.version(organisation, name).content.definition
    except Problem as problem:
        if problem.code not in ("playbook.unknown", "playbook.version_unknown"):
            raise
        return PlaybookDefinition()


def _edited_by_hand(text: str, name: str) -> str:
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or _EDITOR)
    with tempfile.TemporaryDirectory(prefix="callboard-") as folder:
        file = Path(folder) / f"{name.replace('/', '-')}.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            code = subprocess.run([*editor, str(file)], check=False).returncode
        except OSError as error:
            raise WrongUsage(f"cannot start {editor[0]!r}: {error.strerror}; set EDITOR, or give --file") from None
        if code:
            raise Refused(f"{editor[0]} ended with {code}: nothing was edited")
        return file.read_text(encoding="utf-8")


def _step(text: str) -> DraftStep:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise WrongUsage(f"{text!r}: write PATH=VALUE")
    try:
        return DraftStep(path=_path(path), value=yaml.safe_load(value))
    except yaml.YAMLError:
        raise WrongUsage(f"{text!r}: the value is not YAML; put it in quotes") from None


def _path(text: str) -> tuple[str, ...]:
    steps: Sequence[str] = text[1:].split("/") if text.startswith("/") else text.split(".")
    if not all(steps):
        raise WrongUsage(f"{text!r}: write a path like servers.git.tools.deny")
    return tuple(steps)


def _told(revised: DraftRevised, name: str, out: Output) -> int:
    if out.as_json:
        out.json(revised)
        return OK
    if not revised.seq:
        out.talk("nothing changed")
    if revised.revision:
        out.text(f"{name}: draft at revision {revised.revision}, over version {revised.base}")
    for line in change_lines(revised.changes):
        out.text(f"  {line}")
    return OK
