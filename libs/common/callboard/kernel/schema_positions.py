"""Walk the places of a JSON Schema where a schema may stand (2020-12 and the drafts before it); pure.

Data (`const`, `enum`, `default`, `examples`) is not entered, `$ref` is not followed: the walk ends on any JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_ONE = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_LIST = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"})

Path = tuple[str, ...] | None


def positions(schema: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(path, object) of every schema in `schema`; the path is None once it left a chain of `properties`."""
    stack: list[tuple[Path, Any]] = [((), schema)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, dict):
            yield path, node
            for keyword, value in node.items():
                stack.extend(_below(path, keyword, value))


def _below(path: Path, keyword: str, value: Any) -> Iterator[tuple[Path, Any]]:
    if keyword == "properties" and isinstance(value, dict):
        for name, below in value.items():
            yield (None if path is None else (*path, name)), below
    elif keyword in _NAMED and isinstance(value, dict):
        for below in value.values():
            yield None, below
    elif keyword in _LIST and isinstance(value, list):
        for below in value:
            yield None, below
    elif keyword in _ONE:
        yield None, value
