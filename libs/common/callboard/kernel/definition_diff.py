"""How one definition of a tool, prompt or resource differs from another, in the words of a diff."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from callboard.contracts.playbooks import Change, Kind, Severity
from callboard.kernel.schema_diff import SchemaChange, schema_changes
from callboard.kernel.text_faults import text_faults

# What is said of a tool in the words that a model reads: a change of them may change what agents do.
_SPOKEN: Final = ("description", "title", "annotations", "arguments", "mimeType")
_SCHEMAS: Final = {"inputSchema": "input", "outputSchema": "output"}


def definition_changes(path: str, before: bytes, after: bytes) -> list[Change]:
    """The differences of two definitions (JSON objects as the upstream said them). `path` is like `tool git__log`."""
    old, new = json.loads(before), json.loads(after)
    changes = [*_members(path, old, new)]
    for key, name in _SCHEMAS.items():
        if key in old or key in new:
            changes.extend(
                _schema(f"{path} {name}", old.get(key, True), new.get(key, True), output=key != "inputSchema")
            )
    return changes or [Change(kind="changed", path=path, severity="harmless", after="the same but for its spelling")]


@lru_cache(maxsize=8192)
def nobody_notices(before: bytes, after: bytes) -> bool:
    """Whether no agent can tell the two apart: neither words that a model reads nor what is taken or given differ."""
    try:
        changes = definition_changes("", before, after)
    except (ValueError, RecursionError):
        return False  # bounds of the reader (a number of thousands of digits): then it may be anything
    return all(
        change.severity == "harmless" and change.kind not in ("narrowed", "widened") and not change.warnings
        for change in changes
    )


def _members(path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    for key in [*old, *(key for key in new if key not in old)]:
        was, now = old.get(key), new.get(key)
        if key in _SCHEMAS or key == "name" or was == now:
            continue
        kind: Kind = "added" if key not in old else "removed" if key not in new else "changed"
        severity: Severity = "notable" if key in _SPOKEN else "harmless"
        faults = tuple(text_faults(now))
        yield Change(kind=kind, path=f"{path} {key}", before=was, after=now, severity=severity, warnings=faults)


def _schema(path: str, old: Any, new: Any, *, output: bool) -> list[Change]:
    try:
        found = schema_changes(old, new)
    except (TypeError, ValueError, AttributeError, RecursionError):
        # Not a schema that the rules understand: then it is another one, and that is all that can be said.
        return [Change(kind="changed", path=path, before=old, after=new, severity="breaking")]
    return [_told(path, change, output) for change in found]


def _told(path: str, change: SchemaChange, output: bool) -> Change:
    where = f"{path} {change.path or '/'}"
    faults = tuple(text_faults(change.after))
    if change.direction == "described":
        kind: Kind = "changed"
        severity: Severity = "notable"
    else:
        kind = change.direction
        severity = _severity(change.direction, output)
    return Change(kind=kind, path=where, before=change.before, after=change.after, severity=severity, warnings=faults)


def _severity(direction: str, output: bool) -> Severity:
    """A caller is hurt by an input that takes less, and by an output that may be more than it was."""
    if direction == "changed":
        return "breaking"
    return "breaking" if (direction == "widened") == output else "harmless"
