"""`callboard apply`: a file in, a plan out; a fault is told as file:line: reason."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Final

from callboard.cli.changes import change_lines
from callboard.cli.exit_codes import NOT_AS_EXPECTED, OK
from callboard.cli.output import Output
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect
from callboard.client.file import apply_file
from callboard.contracts.playbooks import Applied
from callboard.kernel.playbook_file import parse

_DONE: Final = {
    "register": "registered",
    "reconfigure": "reconfigured",
    "publish": "published",
    "retire": "retired",
    "unchanged": "unchanged",
    "left_alone": "left alone",
}


def apply(args: Namespace, out: Output) -> int:
    """`apply -f FILE -m WHY [--dry-run] [--prune] [--accept-drift]`, or `apply -f FILE --draft`."""
    if args.draft:
        from callboard.cli.drafts import from_file

        return from_file(args, out)
    name, text = read_file(args.file)
    wanted = parse(text, name)
    waived = all(playbook.comments == "optional" for playbook in wanted.playbooks.values())
    if not args.message and not args.dry_run and not waived:
        raise WrongUsage("say why with -m WHY (or look first with --dry-run)")
    with connect(args) as callboard:
        applied = apply_file(
            callboard,
            wanted,
            name,
            args.message,
            dry_run=args.dry_run,
            prune=args.prune,
            accept_drift=args.accept_drift,
            say=out.talk,
        )
    if out.as_json:
        out.json(applied)
    else:
        _print(applied, out, args.dry_run)
    if not applied.changed:
        out.talk("nothing changed")
    return NOT_AS_EXPECTED if args.exit_code and applied.changed else OK


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
