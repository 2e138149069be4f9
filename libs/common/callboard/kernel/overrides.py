"""A playbook's own layer over the tools of a server: what agents see instead, and what calls carry besides. Pure.

The layer is kept when the server changes a tool: a three-way merge of the definition that the version pinned (base),
the override (ours) and what the server says now (theirs). What both sides changed is a conflict, which nobody guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from callboard.contracts.definitions import ToolOverride, ToolRules
from callboard.kernel.plain_json import plain

Judge = Callable[[Any, Any], list[str]]
"""(JSON Schema, value) -> what is wrong with the value."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_WORDS = ("title", "description")


def override_of(rules: ToolRules, name: str) -> ToolOverride | None:
    """What the rules say of a tool (by the server's name), in their older words too; None for nothing."""
    said = rules.override.get(name)
    if name not in rules.rename and name not in rules.describe:
        return said
    said = said or ToolOverride()
    return msgspec.structs.replace(
        said,
        name=said.name if said.name is not None else rules.rename.get(name),
        description=said.description if said.description is not None else rules.describe.get(name),
    )


def overridden(definition: bytes, wire: str, override: ToolOverride) -> bytes:
    """The definition as agents see it, under the name `wire`; what the override does not touch keeps its bytes.

    An argument with a default need not be given, and its schema says the default; a pinned argument is not there.
    """
    members = _members(definition)
    members["name"] = _raw(wire)
    for word in _WORDS:
        text = getattr(override, word)
        if text is not None:
            members[word] = _raw(text)
    if override.annotations:
        own = {key: _raw(value) for key, value in override.annotations.items()}
        members["annotations"] = _raw({**_object(members.get("annotations")), **own})
    if override.defaults or override.pins:
        members["inputSchema"] = _raw(_schema(_object(members.get("inputSchema")), override))
    return _encode(members)


def _schema(schema: dict[str, msgspec.Raw], override: ToolOverride) -> dict[str, msgspec.Raw]:
    properties = {name: one for name, one in _object(schema.get("properties")).items() if name not in override.pins}
    for name, value in override.defaults.items():
        properties[name] = _raw({**_object(properties.get(name)), "default": value})
    shown = {**schema, "properties": _raw(properties)}
    if "required" in schema:
        needed = plain(schema["required"])
        left = [name for name in needed if name not in override.pins and name not in override.defaults]
        shown["required"] = _raw(left)
    return shown


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))


def _object(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    """The members of an object; none of anything else (a schema may be `true`)."""
    if raw is None or bytes(raw).lstrip()[:1] != b"{":
        return {}
    return _members(raw)


class Filling:
    """The arguments that calls of one tool get besides those of the caller, ready to be written."""

    __slots__ = ("_defaults", "_pins")

    def __init__(self, override: ToolOverride) -> None:
        self._defaults = {name: _raw(value) for name, value in override.defaults.items()}
        self._pins = {name: _raw(value) for name, value in override.pins.items()}

    def filled(self, params: bytes) -> tuple[bytes, msgspec.Raw]:
        """`params` of a `tools/call` with the arguments that its server gets, and these arguments."""
        members = _members(params)
        given = _object(members.get("arguments"))
        arguments = _raw({**self._defaults, **given, **self._pins})
        members["arguments"] = arguments
        return _encode(members), arguments


def filling_of(override: ToolOverride | None) -> Filling | None:
    """None for a tool whose calls go as they come."""
    return Filling(override) if override is not None and (override.defaults or override.pins) else None


def misfits(override: ToolOverride, definition: bytes, judge: Judge) -> list[str]:
    """The defaults and pins that this definition has no argument for, or that its schema does not take."""
    if not override.defaults and not override.pins:
        return []
    schema = plain(definition).get("inputSchema")
    return [*_misfits(schema if isinstance(schema, dict) else {}, override, judge)]


def _misfits(schema: Mapping[str, Any], override: ToolOverride, judge: Judge) -> Iterator[str]:
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    # What else the schema demands (other arguments that must be there) is not this value's matter.
    around = {key: schema[key] for key in ("$schema", "$id", "$defs", "definitions", "properties") if key in schema}
    for word, values in (("default", override.defaults), ("pin", override.pins)):
        for name, value in values.items():
            if name not in known:
                yield f"{word} {name!r}: the tool has no such argument"
            else:
                yield from (f"{word} {name!r}: {fault}" for fault in judge(around, {name: value})[:1])


def both_changed(override: ToolOverride, base: bytes, theirs: bytes) -> list[str]:
    """The members that the override replaces and that the server says otherwise than when it was published.

    An argument that only one of the two definitions has is none of them: see `misfits`.
    """
    was, now = plain(base), plain(theirs)
    found = [
        f"{word} is overridden, and the server changed it"
        for word in _WORDS
        if getattr(override, word) is not None and was.get(word) != now.get(word)
    ]
    old, new = was.get("annotations") or {}, now.get("annotations") or {}
    found += [
        f"annotation {key!r} is overridden, and the server changed it"
        for key in override.annotations
        if old.get(key) != new.get(key)
    ]
    before, after = _arguments(was), _arguments(now)
    found += [
        f"argument {name!r} has a {word}, and the server changed its schema"
        for word, values in (("default", override.defaults), ("pin", override.pins))
        for name in values
        if name in before and name in after and before[name] != after[name]
    ]
    return found


def _arguments(definition: Mapping[str, Any]) -> dict[str, Any]:
    schema = definition.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties if isinstance(properties, dict) else {}
