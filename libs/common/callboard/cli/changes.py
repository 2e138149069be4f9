"""How a change between two versions reads on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from callboard.contracts.connected import AffectedClient
from callboard.contracts.playbooks import Change

_SIGN: Final = {"added": "+", "removed": "-", "changed": "~", "renamed": ">", "narrowed": "<", "widened": "o"}

_MOST_CLIENTS: Final = 5


def change_lines(changes: Iterable[Change]) -> Iterator[str]:
    """One line per change: sign, what, from and to, `breaking` where a caller would notice, then who that is."""
    for change in changes:
        mark = " (breaking)" if change.severity == "breaking" else ""
        word = f" {change.kind}" if change.kind in ("narrowed", "widened") else ""
        yield f"{_SIGN[change.kind]} {change.path}{word}{_values(change)}{mark}"
        for warning in change.warnings:
            yield f"    ! {warning}"
        if change.callers:
            calls = sum(caller.calls for caller in change.callers)
            yield f"    {_counted(calls, 'call')} by {_named([caller.client for caller in change.callers])}"


def client_lines(clients: Sequence[AffectedClient]) -> Iterator[str]:
    """Whom a change reaches now: one line per client, with what it has open and how often it called lately."""
    if clients:
        yield f"{_counted(len(clients), 'connected client')} would be served it:"
    for client in clients:
        has = (
            (client.streams, "stream"), (client.connections, "connection"), (client.sessions, "session"),
            (client.calls, "open call"), (client.recent_calls, "recent call"),
        )  # fmt: skip
        yield f"  {client.client or 'anonymous'}: {', '.join(_counted(*one) for one in has if one[0])}"


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _named(clients: list[str]) -> str:
    shown, rest = clients[:_MOST_CLIENTS], len(clients) - _MOST_CLIENTS
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def _values(change: Change) -> str:
    match change.kind:
        case "added":
            return f": {_short(change.after)}" if change.after is not None else ""
        case "removed":
            return ""
        case "renamed":
            return f" -> {_short(change.after)}"
        case _:
            return f": {_short(change.before)} -> {_short(change.after)}"


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        text = value[:19] if value.startswith("sha256:") else value
    else:
        text = msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else f"{text[:117]}..."
