"""Ten thousand random changes of an exported log, each found at its place, by Callboard and by the script alone."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import random
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from callboard.contracts.audit import LogRow, Witness
from callboard.kernel.chain import GENESIS, Link, event_hash
from callboard.kernel.log_export import NotAnExport, check, first_line, last_line, link_of, row_line

SCRIPT = Path(__file__).parents[2] / "bin" / "verify-export"
EVENTS = 24
MUTATIONS = 10_000
TEXTS = ("event_id", "stream", "type", "payload", "meta", "command_id", "recorded_at", "prev_hash", "hash")
NUMBERS = ("seq", "version", "schema_version")


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("verify_export", str(SCRIPT))
    spec = importlib.util.spec_from_loader("verify_export", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def a_log(seed: int = 1) -> list[bytes]:
    """The lines of an intact export."""
    chance, previous, rows = random.Random(seed), GENESIS, []
    versions: dict[str, int] = {}
    for seq in range(1, EVENTS + 1):
        stream = chance.choice(("playbook-start", "server-git", "organisation-acme"))
        versions[stream] = versions.get(stream, 0) + 1
        link = Link(
            seq=seq,
            event_id=uuid.UUID(int=chance.getrandbits(128)),
            stream=stream,
            version=versions[stream],
            type="playbook.published",
            schema_version=1,
            payload=json.dumps({"n": seq, "text": "é☂" * chance.randrange(3)}),
            meta="{}",
            command_id=uuid.UUID(int=chance.getrandbits(128)),
            recorded_at=datetime(2026, 11, 20, tzinfo=UTC) + timedelta(microseconds=chance.randrange(10**12)),
            prev_hash=previous,
            hash=b"",
        )
        made = event_hash(previous, "acme", link)
        rows.append(row_of(link, made))
        previous = made
    return [first_line("acme"), *map(row_line, rows), last_line(Witness(seq=EVENTS, hash=previous.hex()))]


def row_of(link: Link, made: bytes) -> LogRow:
    fields = {name: getattr(link, name) for name in link.__struct_fields__}
    fields |= {"event_id": str(link.event_id), "command_id": str(link.command_id)}
    return LogRow(**{**fields, "prev_hash": link.prev_hash.hex(), "hash": made.hex()})


def rewritten(lines: list[bytes], seq: int) -> list[bytes]:
    """What a liar with a computer does: another content at `seq`, and every hash from there on made to fit."""
    made, previous = [lines[0]], GENESIS
    for number, line in enumerate(lines[1:-1], 1):
        row = msgspec.json.decode(line, type=LogRow)
        if number == seq:
            row = msgspec.structs.replace(row, payload=row.payload + " ")
        link = link_of(row_line(msgspec.structs.replace(row, prev_hash=previous.hex())), 0, None)  # type: ignore[arg-type]
        previous = event_hash(previous, "acme", link)
        made.append(row_line(row_of(link, previous)))
    return [*made, last_line(Witness(seq=len(made) - 1, hash=previous.hex()))]


def edited(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], set[int]]:
    seq = chance.randint(1, EVENTS)
    row: dict[str, Any] = json.loads(lines[seq])
    name = chance.choice((*TEXTS, *NUMBERS))
    row[name] = row[name] + chance.choice((-1, 1)) if name in NUMBERS else _another(row[name], name, chance)
    written = json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    return [*lines[:seq], written, *lines[seq + 1 :]], {seq}


def _another(text: str, name: str, chance: random.Random) -> str:
    if name == "recorded_at":
        return text.replace("2026", "2025")
    places = [at for at, character in enumerate(text) if re.match(r"[0-9a-f]", character)]
    if not places:
        return text + "x"
    at = chance.choice(places)
    other = chance.choice([digit for digit in "0123456789abcdef" if digit != text[at]])
    return text[:at] + other + text[at + 1 :]


def deleted(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], set[int]]:
    seq = chance.randint(1, EVENTS)
    until = min(EVENTS, seq + chance.choice((0, 0, 1, 5)))
    return [*lines[:seq], *lines[until + 1 :]], {seq}


def swapped(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], set[int]]:
    one, other = sorted(chance.sample(range(1, EVENTS + 1), 2))
    made = list(lines)
    made[one], made[other] = made[other], made[one]
    return made, {one}


def repeated(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], set[int]]:
    seq = chance.randint(1, EVENTS)
    return [*lines[: seq + 1], *lines[seq:]], {seq + 1}


def cut_off(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], set[int]]:
    kept = chance.randint(0, EVENTS - 1)
    return lines[: kept + 1] if chance.random() < 0.5 else [*lines[: kept + 1], lines[-1]], {kept + 1}


def forged(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], set[int]]:
    """Edited, and its own hash made to fit: the next event gives it away, or at the end the head."""
    seq = chance.randint(1, EVENTS)
    both = rewritten(lines, seq)
    return [*lines[:seq], both[seq], *lines[seq + 1 :]], {seq + 1} if seq < EVENTS else {seq}


CHANGES: list[Callable[[list[bytes], random.Random], tuple[list[bytes], set[int]]]] = [
    edited,
    deleted,
    swapped,
    repeated,
    cut_off,
    forged,
]


def found_by_callboard(lines: list[bytes], witnesses: tuple[Witness, ...] = ()) -> int | None:
    try:
        broken = check(lines, witnesses).broken
    except NotAnExport as unreadable:
        return int(re.search(r"event (\d+)", str(unreadable))[1])  # type: ignore[index]
    return broken.seq if broken is not None else None


def found_by_script(module: ModuleType, lines: list[bytes], anchors: dict[int, str] | None = None) -> int | None:
    try:
        module.verify([line.decode() for line in lines], anchors or {})
    except module.Broken as broken:
        match = re.search(r"after event (\d+)", str(broken))
        return int(match[1]) + 1 if match else int(re.search(r"event (\d+)", str(broken))[1])  # type: ignore[index]
    return None


def test_every_one_of_ten_thousand_changes_is_found_at_its_place() -> None:
    chance, module, lines = random.Random(20261120), script(), a_log()
    missed = []
    for number in range(MUTATIONS):
        change = CHANGES[number % len(CHANGES)]
        changed, places = change(lines, chance)
        if changed == lines:
            continue
        by_us, by_script = found_by_callboard(changed), found_by_script(module, changed)
        if by_us not in places or by_script not in places:
            missed.append((number, change.__name__, places, by_us, by_script))
    assert missed == []


def test_an_intact_log_is_intact_to_both() -> None:
    for seed in range(20):
        lines = a_log(seed)
        assert found_by_callboard(lines) is None
        assert found_by_script(script(), lines) is None


def test_a_log_that_was_rewritten_to_its_end_is_found_by_an_anchor_alone() -> None:
    lines = a_log()
    changed = rewritten(lines, 10)
    assert found_by_callboard(changed) is None, "the chain alone cannot know"
    original = json.loads(lines[20])["hash"]
    assert found_by_callboard(changed, (Witness(seq=20, hash=original),)) == 20
    assert found_by_script(script(), changed, {20: original}) == 20


def test_a_log_that_was_shortened_with_its_head_is_found_by_an_anchor_alone() -> None:
    lines = a_log()
    head = last_line(Witness(seq=10, hash=json.loads(lines[10])["hash"]))
    shorter = [*lines[:11], head]
    assert found_by_callboard(shorter) is None
    known = json.loads(lines[20])["hash"]
    assert found_by_callboard(shorter, (Witness(seq=20, hash=known),)) == 11
    assert found_by_script(script(), shorter, {20: known}) == 11


def test_a_checker_that_does_not_look_at_content_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script()
    monkeypatch.setattr(module, "hash_of", lambda previous, organisation, row: bytes.fromhex(row["hash"]))
    lines = a_log()
    changed = [*lines[:5], lines[5].replace(b'\\"n\\": 5', b'\\"n\\": 6'), *lines[6:]]
    assert changed != lines
    assert found_by_callboard(changed) == 5
    assert found_by_script(module, changed) is None


@pytest.mark.parametrize("more", [b'"payload":"evil",', b'"comment":"evil",', b'"meta":"{}",'])
def test_what_no_hash_covers_is_not_taken_for_the_log(more: bytes) -> None:
    """A member that is there twice, or besides: another reader may show it."""
    lines = a_log()
    added = [*lines[:7], lines[7].replace(b"{", b"{" + more, 1), *lines[8:]]
    assert found_by_callboard(added) == 7
    assert found_by_script(script(), added) == 7


def test_a_line_that_is_nested_without_end_is_told_as_broken() -> None:
    lines = a_log()
    assert found_by_script(script(), [*lines[:7], b"[" * 100_000 + b"\n", *lines[8:]]) == 7


def test_what_is_no_export_is_refused() -> None:
    with pytest.raises(NotAnExport, match="line 1"):
        check([b"{}\n"])
    with pytest.raises(ValueError, match="no exported log"):
        script().verify(["{}"], {})
