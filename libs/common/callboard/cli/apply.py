"""`callboard apply`: a file in, a plan out; a fault is told as file:line: reason."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from callboard.cli.changes import change_lines
from callboard.cli.exit_codes import NOT_AS_EXPECTED, OK
from callboard.cli.failures import explain
from callboard.cli.output import Output
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect
from callboard.client import Unreachable
from callboard.client.file import apply_file
from callboard.contracts.playbooks import Applied
from callboard.kernel.playbook_file import parse

Signature = tuple[int, int, int]
_LOOK_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 2.0
_DONE: Final = {
    "register": "registered",
    "reconfigure": "reconfigured",
    "publish": "published",
    "retire": "retired",
    "unchanged": "unchanged",
    "left_alone": "left alone",
}


def apply(args: Namespace, out: Output) -> int:
    """`apply -f FILE -m WHY [--dry-run] [--prune] [--accept-drift]`, `apply -f FILE --draft`, `apply --watch FILE`."""
    if args.draft:
        from callboard.cli.drafts import from_file

        return from_file(args, out)
    if args.watch is not None:
        return _watch(args, out)
    applied = _apply_once(args, args.file, args.message, out)
    return NOT_AS_EXPECTED if args.exit_code and applied.changed else OK


def _apply_once(args: Namespace, file: str, comment: str, out: Output) -> Applied:
    name, text = read_file(file)
    wanted = parse(text, name)
    waived = wanted.playbooks and all(playbook.comments == "optional" for playbook in wanted.playbooks.values())
    if not comment and not args.dry_run and not waived:
        raise WrongUsage("say why with -m WHY (or look first with --dry-run)")
    with connect(args) as callboard:
        applied = apply_file(
            callboard,
            wanted,
            name,
            comment,
            dry_run=args.dry_run,
            prune=args.prune,
            accept_drift=args.accept_drift,
            say=out.talk,
        )
    if out.as_json and args.watch is not None:
        out.json_line(applied)
    elif out.as_json:
        out.json(applied)
    else:
        _print(applied, out, args.dry_run)
    if not applied.changed:
        out.talk("nothing changed")
    return applied


def _watch(args: Namespace, out: Output) -> int:
    """Apply the file whenever it is another one; what is refused is told, and what is served stays as it is."""
    if args.watch == "-" or args.exit_code:
        raise WrongUsage("--watch follows a file until Ctrl-C: it goes neither with stdin nor with --exit-code")
    read_file(args.watch)  # one that is not there yet is a slip of the pen
    comment = args.message or f"{Path(args.watch).name} changed"
    out.talk(f"watching {args.watch} (Ctrl-C ends)")
    done: Signature | None = None
    reachable = True
    for signature in settled(Path(args.watch), time.sleep):
        if signature == done:
            continue
        try:
            _apply_once(args, args.watch, comment, out)
            done, reachable = signature, True
        except Unreachable as error:
            if reachable:
                explain(error)
                out.talk(f"{args.watch} is applied as soon as Callboard answers")
            reachable = False
            time.sleep(_RETRY_SECONDS)
        except Exception as error:
            explain(error)  # raises what nobody expects
            out.talk("nothing was applied: what is served stays as it was; waiting for the next change")
            done = signature
    return OK


def settled(path: Path, sleep: Callable[[float], None]) -> Iterator[Signature]:
    """What tells one state of a file from another, again and again, each time it is the same for two looks in a row.

    Editors empty a file and write it, or put another in its place: what is half written is not told, nor that the file
    is missing for a moment. Looking is enough (a few times a second), and works on every file system.
    """
    before: Signature | None = None
    while True:
        try:
            found = path.stat()
            now: Signature | None = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            now = None
        if now is not None and now == before:
            yield now
        before = now
        sleep(_LOOK_SECONDS)


def read_file(file: str) -> tuple[str, str]:
    """The name to show and the text of a file, or of stdin for `-`; `WrongUsage` when it cannot be read."""
    if file == "-":
        return "<stdin>", sys.stdin.read()
    try:
        return file, Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WrongUsage(f"{file} is not UTF-8 text") from None


def _print(applied: Applied, out: Output, dry_run: bool) -> None:
    for planned in applied.plan:
        if planned.action != "unchanged" or planned.notes:
            told = dry_run and planned.action != "unchanged"
            word = f"would {planned.action.replace('_', ' ')}" if told else _DONE[planned.action]
            version = f" version {planned.version}" if planned.version is not None else ""
            out.text(f"{planned.subject}: {word}{version}")
        for line in (*change_lines(planned.changes), *planned.notes):
            out.text(f"  {line}")
