"""Argument validation against `inputSchema` (JSON Schema 2020-12 unless `$schema` says otherwise).

No network `$ref` is ever followed, and patterns run on an engine that is linear in the input's length; a
pattern that needs look-around or back-references runs on a backtracking engine with a step limit.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

_LINEAR = jsonschema_rs.RegexOptions()
_BOUNDED = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)
MAX_MESSAGES = 5


class ArgumentCheck:
    """The compiled schema of one tool."""

    def __init__(self, schema: Any) -> None:
        try:
            self._validator = jsonschema_rs.validator_for(schema, offline=True, pattern_options=_LINEAR)
        except jsonschema_rs.ValidationError:
            self._validator = jsonschema_rs.validator_for(schema, offline=True, pattern_options=_BOUNDED)

    def faults(self, arguments: Any) -> list[str]:
        """What is wrong with the arguments, at most five sentences; empty when nothing is."""
        try:
            if self._validator.is_valid(arguments):
                return []
            errors = self._validator.iter_errors(arguments)
            return [_sentence(error) for error, _ in zip(errors, range(MAX_MESSAGES), strict=False)]
        except ValueError:
            # A value that the validator cannot represent (a number beyond its range) is the upstream's to judge.
            return []


def value_faults(schema: Any, value: Any) -> list[str]:
    """The same for a schema that is looked at once; nothing is known of one that cannot be compiled."""
    try:
        return ArgumentCheck(schema).faults(value)
    except ValueError:
        return []


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
    message = error.message if len(error.message) <= 300 else error.message[:300] + "…"
    return f"arguments{place}: {message}"
