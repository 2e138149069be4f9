"""Whether a tool's schema can be used to validate arguments, without the network and within bounds; pure.

Above: `discovery.domain`. Below: jsonschema_rs with the linear-time regular expression engine; expressions that
it does not know (look-around, back-references) go to an engine with a bound on its steps.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import jsonschema_rs
from jsonschema_rs import FancyRegexOptions, ReferencingError, RegexOptions, ValidationError

from callboard.kernel.schema_positions import positions

LINEAR = RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
BOUNDED = FancyRegexOptions(backtrack_limit=50_000, size_limit=1 << 20, dfa_size_limit=1 << 20)

# jsonschema_rs would ask the network for any other meta-schema, so `$schema` is judged before it sees it.
_DIALECTS = frozenset(
    {
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema",
        "http://json-schema.org/draft-06/schema",
        "http://json-schema.org/draft-04/schema",
    }
)
_MAX_WORDS = 160
# Without an `$id`, references are resolved against json-schema:///
_OUTWARD = re.compile(r"Resource '(?:json-schema:///)?(.*?)' is not present in a registry")


def schema_fault(schema: Any) -> str | None:
    """Why a schema cannot be used, or None. Nothing is ever fetched."""
    if not isinstance(schema, dict):
        return "is not a JSON Schema object"
    return _dialect_fault(schema) or _validity_fault(schema)


def _dialect_fault(schema: dict[str, Any]) -> str | None:
    for _, position in positions(schema):
        dialect = position.get("$schema")
        if dialect is not None and (not isinstance(dialect, str) or dialect.rstrip("#") not in _DIALECTS):
            return f"names an unknown $schema {_short(dialect)}"
    return None


def _validity_fault(schema: dict[str, Any]) -> str | None:
    try:
        jsonschema_rs.validator_for(schema, pattern_options=LINEAR, retriever=_refuse)
        return None
    except (ValidationError, ReferencingError, ValueError) as error:
        first = _words(error)
        outward = _OUTWARD.search(str(error))
    if outward is not None:
        return f"has a reference that leads out of the schema ({_short(outward[1])}), which is never fetched"
    try:
        jsonschema_rs.validator_for(schema, pattern_options=BOUNDED, retriever=_refuse)
    except (ValidationError, ReferencingError, ValueError):
        return f"is not a valid JSON Schema: {first}"
    return None


def _refuse(_uri: str) -> NoReturn:
    # Asked for only what the schema does not bring along under an `$id` of its own.
    raise ValueError("nothing is fetched")


def _words(error: Exception) -> str:
    text = error.message if isinstance(error, ValidationError) else str(error)
    return _short(text.splitlines()[0] if text else type(error).__name__)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MAX_WORDS else text[:_MAX_WORDS] + "…"
