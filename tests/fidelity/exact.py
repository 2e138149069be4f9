"""JSON texts taken apart without losing how they are spelled: the order of keys, the digits of numbers, escapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # there since Python 3.0, not in the stubs
from typing import Any

# Numbers stay text: this only looks for where a value ends.
_end_of = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len).scan_once
_SPACE = " \t\r\n"
SHOWN = 90


def members(text: bytes) -> list[tuple[str, str]]:
    """(key, value as it is spelled) of an object, in its order."""
    return list(_scanned(text.decode()))


def _scanned(whole: str) -> Iterator[tuple[str, str]]:
    at = _skip(whole, _skip(whole, 0) + 1)
    while whole[at] != "}":
        key, at = scanstring(whole, at + 1)
        at = _skip(whole, _skip(whole, at) + 1)
        _, end = _end_of(whole, at)
        yield key, whole[at:end]
        at = _skip(whole, end)
        if whole[at] == ",":
            at = _skip(whole, at + 1)


def items(text: bytes) -> list[str]:
    """The items of an array, as they are spelled."""
    found: list[str] = []
    whole = text.decode()
    at = _skip(whole, _skip(whole, 0) + 1)
    while whole[at] != "]":
        _, end = _end_of(whole, at)
        found.append(whole[at:end])
        at = _skip(whole, end)
        if whole[at] == ",":
            at = _skip(whole, at + 1)
    return found


def member(text: bytes, key: str) -> bytes | None:
    """One value of an object, as it is spelled."""
    return next((value.encode() for found, value in _scanned(text.decode()) if found == key), None)


def text_of(spelled: str | bytes) -> Any:
    """What a JSON text means, for names and the like."""
    return json.loads(spelled)


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def difference(wanted: bytes, got: bytes) -> str:
    """Where two texts part, in a few lines that a person can read."""
    at = next((n for n, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b), min(len(wanted), len(got)))
    start = max(0, at - SHOWN // 3)

    def shown(text: bytes) -> str:
        piece = text[start : start + SHOWN]
        return f"{'…' if start else ''}{piece!r}{'…' if start + SHOWN < len(text) else ''}"

    return (
        f"they part at byte {at} (of {len(wanted)} wanted, {len(got)} got)\n"
        f"  wanted {shown(wanted)}\n  got    {shown(got)}"
    )
