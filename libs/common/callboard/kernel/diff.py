"""What changes between two versions of a playbook, line by line, with who would notice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from callboard.contracts.definitions import Exposed, PlaybookContent, PlaybookDefinition
from callboard.contracts.playbooks import Change


def changes_between(before: PlaybookContent | None, after: PlaybookContent) -> tuple[Change, ...]:
    """The semantic diff; `before` None means that the playbook is new."""
    old = before or PlaybookContent(definition=PlaybookDefinition())
    return tuple(
        [
            *_exposed("tool", old.tools, after.tools),
            *_exposed("prompt", old.prompts, after.prompts),
            *_exposed("resource", old.resources, after.resources),
            *_exposed("template", old.templates or {}, after.templates or {}),
            *_definition(old.definition, after.definition),
        ]
    )


def _exposed(kind: str, old: Mapping[str, Exposed], new: Mapping[str, Exposed]) -> Iterator[Change]:
    gone = {name: old[name] for name in old.keys() - new.keys()}
    come = {name: new[name] for name in new.keys() - old.keys()}
    for name in sorted(come):
        was = next((o for o, item in gone.items() if item == come[name]), None)
        if was is not None:
            del gone[was]
            yield Change(kind="renamed", path=f"{kind} {was}", before=was, after=name, severity="breaking")
        else:
            yield Change(kind="added", path=f"{kind} {name}", after=come[name].server, severity="harmless")
    for name in sorted(gone):
        yield Change(kind="removed", path=f"{kind} {name}", before=gone[name].server, severity="breaking")
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            yield Change(kind="changed", path=f"{kind} {name}", before=old[name].digest, after=new[name].digest)


def _definition(old: PlaybookDefinition, new: PlaybookDefinition) -> Iterator[Change]:
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    for path, was, now in _leaves(before, after, ()):
        severity: Any = "breaking" if path[:1] == ("access",) else "notable"
        kind: Any = "added" if was is None else "removed" if now is None else "changed"
        yield Change(kind=kind, path=".".join(path), before=was, after=now, severity=severity)


def _leaves(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(k for k in after if k not in before)]:
            yield from _leaves(before.get(key), after.get(key), (*path, str(key)))
    elif before != after:
        yield path, before, after
