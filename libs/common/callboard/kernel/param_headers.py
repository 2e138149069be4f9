"""`x-mcp-header`: arguments of a tool that are mirrored in `Mcp-Param-*` headers (MCP 2026-07-28, transports).

Pure. A map says for each tool which property path goes into which header; it is made when the catalogue is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from callboard.contracts.definitions import CatalogueItem
from callboard.kernel.header_values import decode_header_value, encode_header_value
from callboard.kernel.plain_json import plain
from callboard.kernel.schema_positions import positions

ANNOTATION = "x-mcp-header"
PREFIX = "Mcp-Param-"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL = re.compile(r"-?[0-9]{1,400}(\.[0-9]+)?")
_TYPES = frozenset({"string", "integer", "boolean"})

HeaderMap = tuple[tuple[tuple[str, ...], str], ...]
"""((property path, header name), ...) of one tool."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def annotation_fault(schema: Any) -> str | None:
    """Why an annotation of an inputSchema is not valid, or None.

    Valid: on a property that is reached through `properties` only, a header token, on a string, integer or
    boolean, and unique without regard to case.
    """
    seen: dict[str, str] = {}
    for path, position in positions(schema):
        if ANNOTATION not in position:
            continue
        header = position[ANNOTATION]
        if not path:
            return f"{ANNOTATION} stands where no single argument is meant"
        where = ".".join(path)
        if not isinstance(header, str) or not _TOKEN.fullmatch(header):
            return f"{ANNOTATION} of {where!r} is not a header name"
        kind = position.get("type")
        if not isinstance(kind, str) or kind not in _TYPES:
            return f"{ANNOTATION} of {where!r} needs the type string, integer or boolean"
        if header.lower() in seen:
            return f"{ANNOTATION} {header!r} of {where!r} is also on {seen[header.lower()]!r}"
        seen[header.lower()] = where
    return None


def header_map(schema: Any) -> HeaderMap:
    """The map of one valid inputSchema; empty for most tools."""
    return tuple((path, PREFIX + position[ANNOTATION]) for path, position in _annotated(schema))


def _annotated(schema: Any) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for path, position in positions(schema):
        if path and isinstance(position.get(ANNOTATION), str):
            yield path, position


def header_maps(tools: Iterable[CatalogueItem]) -> dict[str, HeaderMap]:
    """Tool name > map, for the tools of a catalogue that have one and are not quarantined."""
    maps: dict[str, HeaderMap] = {}
    for item in tools:
        raw = bytes(item.raw)
        if item.problem is None and ANNOTATION.encode() in raw:
            found = header_map(plain(raw).get("inputSchema"))
            if found:
                maps[item.name] = found
    return maps


def param_headers(paths: HeaderMap, arguments: bytes | msgspec.Raw | None) -> dict[str, str]:
    """The headers that mirror the arguments of one call; absent and null arguments have none."""
    headers: dict[str, str] = {}
    for path, header in paths:
        value = _value_at(arguments, path)
        if isinstance(value, bool):
            headers[header] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            headers[header] = encode_header_value(str(value))
    return headers


def mirror_fault(schema: Any, arguments: Any, headers: Mapping[str, str]) -> str | None:
    """Why `Mcp-Param-*` headers (names without the prefix, lower case) do not mirror these arguments, or None.

    A header and its argument stand together or are absent together (null counts as absent); an integer compares as
    a number, everything else as the text that a client would send.
    """
    for path, position in _annotated(schema):
        name = PREFIX + position[ANNOTATION]
        value = _at(arguments, path)
        raw = headers.get(position[ANNOTATION].lower())
        if not isinstance(value, bool | str | int | float):
            if raw is not None:
                return f"{name} has no argument that it mirrors"
            continue
        if raw is None:
            return f"{name} is missing"
        said = decode_header_value(raw.strip(" \t"))
        if said is None:
            return f"{name} is not encoded as it must be"
        if not _same(position.get("type"), value, said):
            return f"{name} is not the argument {'.'.join(path)!r}"
    return None


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _same(kind: Any, value: bool | str | int | float, said: str) -> bool:
    if isinstance(value, bool):
        return said == ("true" if value else "false")
    if kind == "integer" and isinstance(value, int | float) and _DECIMAL.fullmatch(said):
        whole, _, fraction = said.partition(".")
        return not fraction.strip("0") and int(whole) == value
    return said == str(value)


def _value_at(raw: bytes | msgspec.Raw | None, path: Sequence[str]) -> Any:
    for name in path:
        if raw is None:
            return None
        try:
            raw = _fields(raw).get(name)
        except msgspec.DecodeError:
            return None
    return None if raw is None else plain(raw)
