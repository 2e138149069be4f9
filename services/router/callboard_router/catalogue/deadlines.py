"""How long calls may take: what the playbook says of a tool, else the server's definition, else the settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from callboard.contracts.definitions import Deadlines, ServerDefinition
from callboard.kernel.names import matches

_NOTHING_SAID = Deadlines()


class Limits(NamedTuple):
    """Milliseconds; `idle` 0 when silence cannot end a call before `longest` does.

    `ask_progress`: somebody wrote an idle deadline down, so the server is to be asked for progress even when the
    client does not want to hear of it.
    """

    idle: int
    longest: int
    ask_progress: bool = False


def limits_of(tool: Deadlines | None, server: Deadlines, defaults: Limits) -> Limits:
    """The limits of one tool (or, with None, of everything else that a server is asked)."""
    said = tool or _NOTHING_SAID
    longest = said.max_seconds if said.max_seconds is not None else server.max_seconds
    idle = said.idle_seconds if said.idle_seconds is not None else server.idle_seconds
    longest_ms = defaults.longest if longest is None else int(longest * 1000)
    idle_ms = defaults.idle if idle is None else int(idle * 1000)
    if idle_ms >= longest_ms:
        return Limits(0, longest_ms)
    return Limits(idle_ms, longest_ms, idle is not None)


def of_server(definition: ServerDefinition) -> Deadlines:
    """What a server's definition says, in its older word too."""
    return definition.deadlines or Deadlines(max_seconds=definition.deadline_seconds)


def of_tool(name: str, rules: Mapping[str, Deadlines]) -> Deadlines | None:
    """The entry for a tool (by the server's name of it): the exact name, else the longest glob that matches.

    The order of the entries does not matter, because it is not part of what a version is.
    """
    exact = rules.get(name)
    if exact is not None:
        return exact
    fitting = [pattern for pattern in rules if matches(pattern, name)]
    return rules[max(fitting, key=lambda pattern: (len(pattern), pattern))] if fitting else None
