"""`x-mcp-header`: arguments of a tool that are mirrored in `Mcp-Param-*` headers (MCP 2026-07-28, transports).

Pure. A map says for each tool which property path goes into which header; it is made when the catalogue is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from callboard.contracts.definitions import CatalogueItem
from callboard_connectors.discovery.schema_positions import positions
from callboard_connectors.transports.header_values import encode_header_value

ANNOTATION = "x-mcp-header"
PREFIX = "Mcp-Param-"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TYPES = frozenset({"string", "integer", "boolean"})

HeaderMap = tuple[tuple[tuple[str, ...], str], ...]
"""((property path, header name), ...) of one tool."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_any = msgspec.json.Decoder().decode


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
            found = header_map(_any(raw).get("inputSchema"))
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


def _value_at(raw: bytes | msgspec.Raw | None, path: Sequence[str]) -> Any:
    for name in path:
        if raw is None:
            return None
        try:
            raw = _fields(raw).get(name)
        except msgspec.DecodeError:
            return None
    return None if raw is None else _any(raw)
