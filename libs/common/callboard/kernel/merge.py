"""Plain data edited by path, and merged of three: what two sides made of one original. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

MISSING: Any = object()
"""Stands where a side says nothing at all."""


class Conflict(NamedTuple):
    """Both sides changed what stands at `path`, and not to the same; None where a side says nothing there."""

    path: tuple[str, ...]
    before: Any
    mine: Any
    theirs: Any


def replaced(data: Any, path: Sequence[str], value: Any) -> Any:
    """The data with `value` at `path` (`MISSING`: with nothing there); mappings on the way are made.

    Raises LookupError with a sentence for people where a path leads through something else than a mapping.
    """
    if not path or data is value is MISSING:
        return value
    if data is not MISSING and not isinstance(data, dict):
        raise LookupError(f"what {path[0]!r} is looked for in is not a mapping, so it has no such key")
    members = {} if data is MISSING else dict(data)
    inner = replaced(members.get(path[0], MISSING), path[1:], value)
    if inner is MISSING:
        members.pop(path[0], None)
    else:
        members[path[0]] = inner
    return members


def merged(before: Any, mine: Any, theirs: Any, prefer_mine: bool = True) -> tuple[Any, list[Conflict]]:
    """What both sides made of `before`, and where they contradict each other; there one of them is taken.

    Mappings are merged member by member; everything else, lists too, is taken as a whole.
    """
    conflicts: list[Conflict] = []
    return _merged(before, mine, theirs, (), prefer_mine, conflicts), conflicts


def _merged(
    before: Any, mine: Any, theirs: Any, path: tuple[str, ...], prefer_mine: bool, conflicts: list[Conflict]
) -> Any:
    if mine == theirs or theirs == before:
        return mine
    if mine == before:
        return theirs
    if isinstance(mine, dict) and isinstance(theirs, dict):
        origin = before if isinstance(before, dict) else {}
        members = {}
        for key in _keys(mine, theirs):
            was, ours, other = origin.get(key, MISSING), mine.get(key, MISSING), theirs.get(key, MISSING)
            members[key] = _merged(was, ours, other, (*path, key), prefer_mine, conflicts)
        return {key: value for key, value in members.items() if value is not MISSING}
    conflicts.append(Conflict(path, *(None if side is MISSING else side for side in (before, mine, theirs))))
    return mine if prefer_mine else theirs


def _keys(mine: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    yield from mine
    yield from (key for key in theirs if key not in mine)
