"""`--arg KEY=VALUE` as the arguments of a tool or prompt: the tool's schema says what is a number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from callboard.cli.refusals import WrongUsage


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """The `KEY=VALUE` texts as they stand."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise WrongUsage(f"--arg {text!r}: write KEY=VALUE")
        found[key] = value
    return found


def tool_arguments(texts: Sequence[str], json_text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a tool call: `--json-args`, then each `--arg` over it, typed by the input schema."""
    try:
        arguments = json.loads(json_text)
    except json.JSONDecodeError as error:
        raise WrongUsage(f"--json-args is not JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise WrongUsage("--json-args must be a JSON object")
    properties = schema.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    for key, text in pairs(texts).items():
        arguments[key] = _typed(key, text, known.get(key))
    return arguments


def _typed(key: str, text: str, schema: Any) -> Any:
    types = _types(schema)
    if not types or types == {"string"}:
        return text
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    if isinstance(value, str) and "string" not in types:
        raise WrongUsage(f"--arg {key}: the tool wants {' or '.join(sorted(types))}, written as JSON")
    return text if isinstance(value, str) else value


def _types(schema: Any) -> set[str]:
    if not isinstance(schema, Mapping):
        return set()
    named = schema.get("type")
    types = {named} if isinstance(named, str) else set(named) if isinstance(named, list) else set()
    for keyword in ("anyOf", "oneOf"):
        for part in schema.get(keyword) or ():
            types |= _types(part)
    return types
