"""How a change between two versions reads on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from callboard.contracts.playbooks import Change

_SIGN: Final = {"added": "+", "removed": "-", "changed": "~", "renamed": ">"}


def change_lines(changes: Iterable[Change]) -> Iterator[str]:
    """One line per change: sign, what, from and to, and `breaking` where an agent would notice."""
    for change in changes:
        mark = " (breaking)" if change.severity == "breaking" else ""
        yield f"{_SIGN[change.kind]} {change.path}{_values(change)}{mark}"


def _values(change: Change) -> str:
    match change.kind:
        case "added":
            return f": {_short(change.after)}" if change.after is not None else ""
        case "removed":
            return ""
        case "renamed":
            return f" -> {_short(change.after)}"
        case "changed":
            return f": {_short(change.before)} -> {_short(change.after)}"


def _short(value: Any) -> str:
    if isinstance(value, str):
        text = value[:19] if value.startswith("sha256:") else value
    else:
        text = msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else f"{text[:117]}..."
