"""Rules about arguments, compiled once. Patterns run on the engine of Rust's `regex`, linear in the text's length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from callboard.contracts.policy_definitions import ArgumentRule

_LINEAR = jsonschema_rs.RegexOptions(size_limit=1_000_000)
_ABSENT = object()
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class BadPattern(ValueError):
    """The pattern cannot be compiled, or not by a linear engine."""


class CompiledArgumentRule:
    """One rule: `fault` is asked for every call of its tools."""

    __slots__ = ("_forbidden", "_path", "_pattern", "_required", "_values", "name")

    def __init__(self, rule: ArgumentRule) -> None:
        self.name = rule.name or rule.argument
        self._path = path_of(rule.argument)
        self._required = rule.required
        self._forbidden = rule.forbidden
        self._values = None
        if rule.values is not None:
            # By JSON Schema and not by Python, to which `1` and `true` are equal.
            self._values = jsonschema_rs.validator_for({"enum": list(rule.values)}, offline=True)
        self._pattern = None if rule.pattern is None else _pattern(rule.pattern)

    def fault(self, arguments: Mapping[str, Any]) -> str | None:
        """Which demand the arguments do not meet, without any value of theirs; None when they meet all."""
        for value in _found(arguments, self._path):
            if value is _ABSENT:
                if self._required:
                    return f"{self.name}: required"
            elif self._forbidden:
                return f"{self.name}: forbidden"
            elif (fault := self._misfit(value)) is not None:
                return f"{self.name}: {fault}"
        return None

    def _misfit(self, value: Any) -> str | None:
        for one in _elements(value):
            if self._values is not None and not _valid(self._values, one):
                return "not one of the allowed values"
            if self._pattern is not None and not _valid(self._pattern, one):
                return "does not match the pattern"
        return None


def path_of(argument: str) -> tuple[str, ...]:
    """`options.force`, or `/options/force` (RFC 6901), as keys."""
    if argument.startswith("/"):
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in argument[1:].split("/"))
    return tuple(argument.split("."))


def _pattern(pattern: str) -> Any:
    # First by itself: what is only an expression within the brackets could close them.
    for whole in (pattern, f"^(?:{pattern})$"):
        schema = {"type": "string", "pattern": whole}
        try:
            compiled = jsonschema_rs.validator_for(schema, offline=True, pattern_options=_LINEAR)
        except ValueError:
            raise BadPattern("no expression of RE2's syntax (look-around and back-references are not)") from None
    return compiled


def _valid(validator: Any, value: Any) -> bool:
    try:
        return bool(validator.is_valid(value))
    except ValueError:
        # A number beyond what the validator can represent is none of the values.
        return False


def _found(arguments: Any, path: tuple[str, ...]) -> list[Any]:
    """What stands at the path in every element of the lists on the way; absent where it does not."""
    values = [arguments]
    for key in path:
        values = [found for value in values for found in _below(value, key)]
    return values


def _below(value: Any, key: str) -> list[Any]:
    if isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
        # An element that is named by its number; what its elements have under that name is looked at too.
        named = [one[key] for one in _elements(value) if isinstance(one, Mapping) and key in one]
        return [value[int(key)], *named]
    return [one[key] if isinstance(one, Mapping) and key in one else _ABSENT for one in _elements(value)] or [_ABSENT]


def _elements(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _elements(one)
    else:
        yield value
