"""The Callboard file (YAML, version 1): parsed whole or refused whole, with the line of every fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec
import yaml

from callboard.contracts.definitions import Layer, PlaybookDefinition, ServerDefinition
from callboard.kernel.definition_rules import all_faults
from callboard.kernel.names import is_slug

Path = tuple[str, ...]
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")
Struct = TypeVar("Struct", bound=msgspec.Struct)


class LineFault(NamedTuple):
    """One thing that is wrong with the file; lines count from 1."""

    line: int
    message: str


class FileRefused(Exception):
    """The file is not acceptable; nothing of it was taken."""

    def __init__(self, name: str, faults: list[LineFault]) -> None:
        self.name = name
        self.faults = sorted(set(faults))
        super().__init__("\n".join(f"{name}:{fault.line}: {fault.message}" for fault in self.faults))


class PlaybookFile(NamedTuple):
    """The content of a file, and where in it each path stands."""

    organisation: str
    servers: dict[str, ServerDefinition]
    playbooks: dict[str, PlaybookDefinition]
    lines: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """The line of a path, or of its nearest ancestor that stands in the file."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


class Reader:
    """Turns YAML nodes into plain data, noting lines and duplicate keys."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {(): 1}
        self.faults: list[LineFault] = []
        self._loader = yaml.SafeLoader("")
        self._seen: set[int] = set()

    def read(self, node: yaml.Node, path: Path = ()) -> Any:
        """The data below a node; `lines` and `faults` get what there is to tell of it."""
        if id(node) in self._seen:
            # An alias is the same node again; expanded they can be larger than any memory.
            self.faults.append(LineFault(node.start_mark.line + 1, "anchors and aliases are not supported"))
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return {key: self.read(value, (*path, key)) for key, value in self._pairs(node, path)}
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[(*path, str(index))] = item.start_mark.line + 1
            return [self.read(item, (*path, str(index))) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            value = self._loader.construct_object(node)
            msgspec.json.encode(value)
        except (ValueError, TypeError, yaml.YAMLError):
            self.faults.append(LineFault(node.start_mark.line + 1, f"not a plain value: {str(node.value)[:40]!r}"))
            return None
        return value

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        seen: set[str] = set()
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value)
            if not isinstance(key_node, yaml.ScalarNode):
                self.faults.append(LineFault(line, "a key must be a plain word"))
                continue
            if key in seen:
                self.faults.append(LineFault(line, f"{key!r} stands twice in the same place"))
            seen.add(key)
            self.lines[(*path, key)] = line
            yield key, value


def parse(text: str, name: str = "callboard.yaml") -> PlaybookFile:
    """Parse a file; raises `FileRefused` with every fault found.

    Servers that a playbook uses must stand in the file or be registered; the latter only the router can say,
    so an unknown server is not a fault here.
    """
    reader = Reader()
    data = plain_data(reader, text, name)
    if reader.faults:
        raise FileRefused(name, reader.faults)
    faults = reader.faults
    organisation = _head(data, reader, faults)
    servers = section_of(data, "servers", ServerDefinition, reader, faults)
    playbooks = section_of(data, "playbooks", PlaybookDefinition, reader, faults)
    parsed = PlaybookFile(organisation, servers, playbooks, reader.lines)
    used = {server for playbook in playbooks.values() for server in playbook.servers}
    for fault in all_faults(servers, playbooks, used):
        faults.append(LineFault(parsed.line_of(fault.path), fault.message))
    if faults:
        raise FileRefused(name, faults)
    return parsed


def parse_playbook(text: str, name: str) -> PlaybookDefinition:
    """Parse one playbook, as it stands below `playbooks: NAME:` in a file; raises `FileRefused`."""
    return _parse_one(text, name, PlaybookDefinition, "a playbook is a mapping, like `servers:` and `title:`")


def parse_layer(text: str, name: str) -> Layer:
    """Parse one layer; raises `FileRefused`."""
    return _parse_one(text, name, Layer, "a layer is a mapping of `instructions`, `prompts` and `resources`")


def _parse_one(text: str, name: str, kind: type[Struct], wanted: str) -> Struct:
    reader = Reader()
    data = plain_data(reader, text, name, wanted)
    if reader.faults:
        raise FileRefused(name, reader.faults)
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        path, message = _located(str(error), (), reader.lines)
        raise FileRefused(name, [LineFault(reader.lines[path], message)]) from None


def plain_data(
    reader: Reader, text: str, name: str, wanted: str = "the file must be a mapping with `version: 1`"
) -> dict[str, Any]:
    """The mapping that a text is; raises `FileRefused` for a text that is none."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = reader.read(root) if root is not None else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise FileRefused(name, [LineFault(line, f"not valid YAML: {error.problem}")]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileRefused(name, [LineFault(1, f"not valid YAML: {error}")]) from None
    if not isinstance(data, dict):
        raise FileRefused(name, [LineFault(1, wanted)])
    return data


def _head(data: dict[str, Any], reader: Reader, faults: list[LineFault]) -> str:
    if data.get("version") != 1:
        faults.append(LineFault(reader.lines.get(("version",), 1), "`version` must be 1"))
    unknown = data.keys() - {"version", "organisation", "servers", "playbooks"}
    faults.extend(LineFault(reader.lines[(key,)], f"unknown key {key!r}") for key in unknown)
    organisation = data.get("organisation")
    if not isinstance(organisation, str) or not is_slug(organisation):
        line = reader.lines.get(("organisation",), 1)
        faults.append(LineFault(line, "`organisation` must be a name of a-z, 0-9, - and _"))
        return ""
    return organisation


def section_of(
    data: dict[str, Any], section: str, kind: type[Struct], reader: Reader, faults: list[LineFault]
) -> dict[str, Struct]:
    """Name -> what stands below it in a section of the file; faults are added to the list."""
    entries = data.get(section) or {}
    if not isinstance(entries, dict):
        faults.append(LineFault(reader.lines[(section,)], f"`{section}` must be a mapping of names"))
        return {}
    found: dict[str, Struct] = {}
    for name, entry in entries.items():
        try:
            found[name] = msgspec.convert(entry if entry is not None else {}, kind)
        except msgspec.ValidationError as error:
            path, message = _located(str(error), (section, name), reader.lines)
            faults.append(LineFault(reader.lines[path], f"{_one_of(section)} {name!r}: {message}"))
    return found


def _one_of(section: str) -> str:
    return f"{section[:-3]}y" if section.endswith("ies") else section[:-1]


def _located(message: str, base: Path, lines: dict[Path, int]) -> tuple[Path, str]:
    """msgspec names the place as `$.tools.allow[0]` (and `[...]` for a key it does not know)."""
    text, _, place = message.partition(" - at `")
    candidates = [base]
    for key, index in _STEP.findall(place):
        step = key or index
        deeper = [p for p in lines if p and p[:-1] in candidates and (step == "..." or p[-1] == step)]
        if not deeper:
            break
        candidates = deeper
    path = candidates[0]
    if "unknown field" in text:
        key = text.split("`")[1]
        nearest = [p for p in lines if p[: len(path)] == path and p[-1] == key]
        path = min(nearest, key=len, default=path)
    return path, text
