"""`callboard audit`."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from callboard.cli.exit_codes import NOT_AS_EXPECTED, OK
from callboard.cli.output import Output
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect, organisation_of
from callboard.client import Callboard
from callboard.contracts.audit import Anchor, AuditVerdict, ChainVerdict, Witness
from callboard.kernel.anchors import is_genuine
from callboard.kernel.log_export import NotAnExport, check, first_line, last_line, row_line

_anchor = msgspec.json.Decoder(Anchor).decode
_BROKEN = "a chain is broken: the log was changed outside Callboard"


def verify(args: Namespace, out: Output) -> int:
    """`audit verify [--file EXPORT] [--anchor FILE…]`: exit code 4 when a chain is broken."""
    anchors = [_read_anchor(name) for name in args.anchor]
    if args.file is not None:
        verdict = _of_file(args.file, anchors)
    else:
        with connect(args) as callboard:
            organisation = _organisation(args.org or "", anchors)
            verdict = callboard.verify_audit(organisation, _witnesses(organisation, anchors))
    _print(verdict, out)
    return OK if verdict.intact else NOT_AS_EXPECTED


def _print(verdict: AuditVerdict, out: Output) -> None:
    if out.as_json:
        out.json(verdict)
    else:
        rows = [(c.organisation, c.events, c.seq, _words(c), c.head[:16]) for c in verdict.chains]
        out.table(("organisation", "events", "seq", "verdict", "head"), rows)
    out.talk("every chain is intact" if verdict.intact else _BROKEN)


def _words(chain: ChainVerdict) -> str:
    return "intact" if chain.intact else f"broken at {chain.broken_at}: {chain.reason}"


def _organisation(chosen: str, anchors: Sequence[Anchor]) -> str:
    names = {anchor.organisation for anchor in anchors} | ({chosen} if chosen else set())
    if len(names) > 1:
        raise WrongUsage(f"verify one organisation at a time against anchors, not {', '.join(sorted(names))}")
    return next(iter(names), "")


def _witnesses(organisation: str, anchors: Sequence[Anchor]) -> tuple[Witness, ...]:
    foreign = [anchor.organisation for anchor in anchors if anchor.organisation != organisation]
    if foreign:
        raise WrongUsage(f"the anchor is of {foreign[0]}, not of {organisation}")
    return tuple(Witness(seq=anchor.seq, hash=anchor.hash) for anchor in anchors)


def _read_anchor(name: str) -> Anchor:
    try:
        anchor = _anchor(Path(name).read_bytes())
    except OSError as error:
        raise WrongUsage(f"cannot read {name}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise WrongUsage(f"{name} is no anchor: {error}") from None
    if not is_genuine(anchor):
        raise WrongUsage(f"{name}: the signature does not belong to what it says")
    return anchor


def _of_file(name: str, anchors: Sequence[Anchor]) -> AuditVerdict:
    try:
        with Path(name).open("rb") as lines:
            organisation = msgspec.json.decode(lines.readline() or b"{}", type=dict[str, str]).get("organisation", "")
            lines.seek(0)
            chain, broken = check(lines, _witnesses(organisation, anchors))
    except OSError as error:
        raise WrongUsage(f"cannot read {name}: {error.strerror}") from None
    except (NotAnExport, msgspec.DecodeError) as error:
        raise WrongUsage(f"{name}: {error}") from None
    verdict = ChainVerdict(
        organisation=chain.organisation,
        events=chain.seq,
        seq=chain.seq,
        head=chain.hash.hex(),
        intact=broken is None,
        broken_at=broken.seq if broken is not None else None,
        reason=broken.reason if broken is not None else "",
    )
    return AuditVerdict(chains=(verdict,), intact=verdict.intact)


def export(args: Namespace, out: Output) -> int:
    """`audit export [--out FILE]`: the log as lines that can be verified without Callboard."""
    with connect(args) as callboard, new_file(args.out) as file:
        organisation = organisation_of(args, callboard)
        for line in _lines(callboard, organisation, out):
            file.write(line)
    return OK


@contextmanager
def new_file(name: str | None) -> Iterator[IO[bytes]]:
    """A file that does not exist yet, or stdout without a name."""
    if name is None:
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise WrongUsage(f"cannot write {name}: {error.strerror}") from None
    with open(descriptor, "wb") as file:
        yield file


def _lines(callboard: Callboard, organisation: str, out: Output) -> Iterator[bytes]:
    """All lines up to the head as it was at the beginning: what is appended meanwhile is not part of it."""
    found = callboard.log_rows(organisation)
    upto = found.head.seq
    last = Witness(seq=0, hash="00" * 32)
    yield first_line(organisation)
    while last.seq < upto:
        for row in found.rows:
            if row.seq <= upto:
                yield row_line(row)
                last = Witness(seq=row.seq, hash=row.hash)
        if last.seq < upto:
            out.talk(f"{last.seq} of {upto} events")
            found = callboard.log_rows(organisation, after=last.seq)
    yield last_line(last)
    out.talk(f"exported {last.seq} events of {organisation}; its head is {last.hash}")


def anchor(args: Namespace, out: Output) -> int:
    """`audit anchor`: the signed head as one line of JSON; keep it where the database cannot be reached from."""
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        out.json_line(callboard.anchor(organisation))
    out.talk("keep this line elsewhere: `callboard audit verify --anchor FILE` compares the log with it")
    return OK
