"""What changes between two versions of a playbook, line by line, with who would notice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from callboard.contracts.definitions import Exposed, HeldLayer, PlaybookContent, PlaybookDefinition
from callboard.contracts.playbooks import Caller, Change
from callboard.kernel.definition_diff import definition_changes
from callboard.kernel.text_faults import text_faults

Definitions = Mapping[str, bytes]
"""Digest -> the definition as the upstream said it; a digest that is missing is told as a digest."""


def changes_between(
    before: PlaybookContent | None, after: PlaybookContent, definitions: Definitions | None = None
) -> tuple[Change, ...]:
    """The semantic diff; `before` None means that the playbook is new."""
    old = before or PlaybookContent(definition=PlaybookDefinition())
    known = definitions or {}
    return tuple(
        [
            *_exposed("tool", old.tools, after.tools, known),
            *_exposed("prompt", old.prompts, after.prompts, known),
            *_exposed("resource", old.resources, after.resources, known),
            *_exposed("template", old.templates or {}, after.templates or {}, known),
            *written_changes(old.definition, after.definition),
            *layer_changes(old.layers or (), after.layers or ()),
        ]
    )


def changed_digests(before: PlaybookContent, after: PlaybookContent) -> set[str]:
    """The digests whose definitions a diff of these two wants to see."""
    pairs = ((before.tools, after.tools), (before.prompts, after.prompts), (before.resources, after.resources))
    return {
        item.digest
        for old, new in pairs
        for name in old.keys() & new.keys()
        if old[name].digest != new[name].digest
        for item in (old[name], new[name])
    }


def named_tool(change: Change) -> str | None:
    """The tool that a line is about, by the name that agents had for it; None for other lines."""
    kind, _, rest = change.path.partition(" ")
    return rest.partition(" ")[0] if kind == "tool" and rest else None


def with_callers(changes: Iterable[Change], callers: Mapping[str, tuple[Caller, ...]]) -> tuple[Change, ...]:
    """The same lines; each that may hurt somebody says whom."""
    return tuple(
        msgspec.structs.replace(change, callers=callers[tool])
        if change.severity != "harmless" and (tool := named_tool(change)) in callers and tool is not None
        else change
        for change in changes
    )


def _exposed(
    kind: str, old: Mapping[str, Exposed], new: Mapping[str, Exposed], definitions: Definitions
) -> Iterator[Change]:
    gone = {name: old[name] for name in old.keys() - new.keys()}
    come = {name: new[name] for name in new.keys() - old.keys()}
    for name in sorted(come):
        was = next((o for o, item in gone.items() if item == come[name]), None)
        if was is not None:
            del gone[was]
            yield Change(kind="renamed", path=f"{kind} {was}", before=was, after=name, severity="breaking")
        else:
            warnings = tuple(text_faults(name))
            owner = come[name].server
            yield Change(kind="added", path=f"{kind} {name}", after=owner, severity="harmless", warnings=warnings)
    for name in sorted(gone):
        yield Change(kind="removed", path=f"{kind} {name}", before=gone[name].server, severity="breaking")
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            yield from _redefined(f"{kind} {name}", old[name], new[name], definitions)


def _redefined(path: str, old: Exposed, new: Exposed, definitions: Definitions) -> Iterator[Change]:
    if (old.server, old.name) != (new.server, new.name):
        was, now = f"{old.server} {old.name}", f"{new.server} {new.name}"
        yield Change(kind="changed", path=f"{path} owner", before=was, after=now, severity="breaking")
    before, after = definitions.get(old.digest), definitions.get(new.digest)
    if before is not None and after is not None:
        yield from definition_changes(path, before, after) if old.digest != new.digest else ()
    elif old.digest != new.digest:
        yield Change(kind="changed", path=path, before=old.digest, after=new.digest)


def written_changes(old: PlaybookDefinition, new: PlaybookDefinition) -> Iterator[Change]:
    """What is written otherwise in a definition; what agents see otherwise because of it is another matter."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    for path, was, now in _leaves(before, after, ()):
        severity: Any = "breaking" if path[:1] == ("access",) else "notable"
        kind: Any = "added" if was is None else "removed" if now is None else "changed"
        yield Change(kind=kind, path=".".join(path), before=was, after=now, severity=severity)


def layer_changes(old: Iterable[HeldLayer], new: Iterable[HeldLayer]) -> Iterator[Change]:
    """What stands otherwise in the layers under a version; what they all shadow, too."""
    before, after = ({held.called: msgspec.to_builtins(held.layer) for held in layers} for layers in (old, new))
    for path, was, now in _leaves(before, after, ()):
        kind: Any = "added" if was is None else "removed" if now is None else "changed"
        yield Change(kind=kind, path=f"layers.{'.'.join(path)}", before=was, after=now)


def _leaves(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(k for k in after if k not in before)]:
            yield from _leaves(before.get(key), after.get(key), (*path, str(key)))
    elif before != after:
        yield path, before, after
