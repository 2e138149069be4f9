"""What a playbook declares, out of what its servers declared; pure.

A client must be able to rely on what it is told, and find what any of the servers can do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from callboard.contracts.calls import MODERN
from callboard.contracts.definitions import Catalogue, PlaybookDefinition

_PASSED_ON = ("completions", "logging")


def declared_by(definition: PlaybookDefinition, catalogues: Mapping[str, Catalogue]) -> dict[str, dict[str, Any]]:
    """Server -> its capabilities, of the servers in use, in the order of the playbook."""
    found: dict[str, dict[str, Any]] = {}
    for server, use in definition.servers.items():
        catalogue = catalogues.get(server)
        if use.enabled and catalogue is not None:
            declared = msgspec.json.decode(catalogue.capabilities)
            if isinstance(declared, dict):
                found[server] = declared
    return found


def capabilities_of(declared: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What both eras are told."""
    capabilities: dict[str, Any] = {
        "tools": {"listChanged": True},
        "prompts": {"listChanged": True},
        "resources": {"listChanged": True, "subscribe": True},
    }
    for name in _PASSED_ON:
        if any(name in server for server in declared.values()):
            capabilities[name] = {}
    extensions = united(server["extensions"] for server in declared.values() if "extensions" in server)
    if isinstance(extensions, dict) and extensions:
        capabilities["extensions"] = extensions
    return capabilities


def tasks_of(declared: Mapping[str, Mapping[str, Any]], catalogues: Mapping[str, Catalogue]) -> dict[str, Any]:
    """The capability `tasks` of 2025-11-25; empty when no server has it.

    Without `list`: a server lists the tasks of all our clients, and nothing says which are whose.
    """
    tasks = united(
        declared[name]["tasks"]
        for name in declared
        if "tasks" in declared[name] and catalogues[name].era != MODERN and isinstance(declared[name]["tasks"], dict)
    )
    return {name: value for name, value in tasks.items() if name != "list"} if isinstance(tasks, dict) else {}


def united(settings: Iterable[Any]) -> Any:
    """What several said of one thing: objects by their members, lists one after the other without repeats,
    and of two that contradict each other the one of the server that stands first. One alone stays as it is."""
    united: Any = None
    for one in settings:
        united = one if united is None else _both(united, one)
    return united


def _both(first: Any, second: Any) -> Any:
    if isinstance(first, dict) and isinstance(second, dict):
        merged = {name: _both(value, second[name]) if name in second else value for name, value in first.items()}
        return merged | {name: value for name, value in second.items() if name not in first}
    if isinstance(first, list) and isinstance(second, list):
        return [*first, *(value for value in second if value not in first)]
    if isinstance(first, bool) and isinstance(second, bool):
        return first or second
    return first
