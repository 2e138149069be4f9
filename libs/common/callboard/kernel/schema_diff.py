"""How one JSON Schema (2020-12) differs from another: which values it takes no longer, and which it takes now.

Pure. Each keyword has a rule; what no rule can order is `changed`, which a caller has to take for the worse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple

from callboard.kernel.digest import canonical

Direction = Literal["narrowed", "widened", "changed", "described"]


class SchemaChange(NamedTuple):
    """One difference. `path` is a JSON pointer into the schema, `described` means that no value is affected."""

    path: str
    direction: Direction
    before: Any
    after: Any


ABSENT: Final = None
_ALL_TYPES: Final = frozenset({"null", "boolean", "object", "array", "number", "string", "integer"})
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
# A value has to match these as well: one more narrows, one less widens, and another one cannot be ordered.
_CONSTRAINTS: Final = (
    "pattern", "const", "not", "if", "then", "else", "contains", "propertyNames", "dependentRequired",
    "dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef",
)  # fmt: skip
_BOUNDS: Final = (*_LOWER, *_UPPER)
_BOUND_SET: Final = frozenset(_BOUNDS)
_CONSTRAINT_SET: Final = frozenset(_CONSTRAINTS)
_WORDS: Final = (
    "title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly", "format",
    "contentEncoding", "contentMediaType", "contentSchema", "$schema", "$id", "$anchor", "$dynamicAnchor",
    "$vocabulary", "$defs", "definitions",
)  # fmt: skip
_DEPTH = 64


def schema_changes(before: Any, after: Any) -> list[SchemaChange]:
    """All differences between two schemas (parsed JSON, or booleans), in the order of the keywords."""
    return list(_Comparison(before, after).schemas(before, after, "", 0))


class _Comparison:
    """Two documents: local references are followed in each."""

    def __init__(self, before: Any, after: Any) -> None:
        self._before = before
        self._after = after
        # Asked of the text, which is quick; a value that looks like it costs time, not truth.
        self._referring = "'$ref'" in repr(before) or "'$ref'" in repr(after)
        self._seen: set[tuple[bytes, bytes]] = set()

    def schemas(self, old: Any, new: Any, path: str, depth: int) -> Iterator[SchemaChange]:
        old, new = _resolved(old, self._before), _resolved(new, self._after)
        if self._referring:
            # Equal texts may refer to definitions that differ, and a definition may refer to itself.
            pair = (canonical(old), canonical(new))
            if pair in self._seen:
                return
            self._seen.add(pair)
        elif _same(old, new):
            return
        if depth > _DEPTH:
            yield SchemaChange(path, "changed", old, new)
        elif isinstance(old, dict) and isinstance(new, dict):
            for rule in _RULES:
                yield from rule(self, old, new, path, depth)
        else:
            yield from _booleans(old, new, path)


Rule = Callable[[_Comparison, dict[str, Any], dict[str, Any], str, int], Iterator[SchemaChange]]


def _same(old: Any, new: Any) -> bool:
    """Whether two parsed texts mean the same; for Python alone 1, 1.0 and true would."""
    return bool(old == new) and (repr(old) == repr(new) or canonical(old) == canonical(new))


def _has(old: dict[str, Any], new: dict[str, Any], keywords: frozenset[str]) -> bool:
    """Whether one of the keywords stands in either: most schemas have few."""
    return not (keywords.isdisjoint(old) and keywords.isdisjoint(new))


def _resolved(schema: Any, document: Any) -> Any:
    """A schema that is nothing but a local reference, followed; anything else as it is."""
    for _ in range(_DEPTH):
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            return schema
        target = _pointed(document, schema["$ref"])
        if target is ABSENT:
            return schema
        beside = {key: value for key, value in schema.items() if key != "$ref" and key not in _WORDS}
        schema = {**target, **beside} if beside and isinstance(target, dict) else target
    return schema


def _pointed(document: Any, reference: str) -> Any:
    if reference != "#" and not reference.startswith("#/"):
        return ABSENT
    found = document
    for part in reference.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            return ABSENT
    return found


def _booleans(old: Any, new: Any, path: str) -> Iterator[SchemaChange]:
    free_before, free_after = old is True or old == {}, new is True or new == {}
    if free_before and free_after:
        return
    narrowed = new is False or free_before
    yield SchemaChange(path, "narrowed" if narrowed else "widened", old, new)


# ---------------------------------------------------------------------------------------------------- the rules


def _types(_: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, __: int) -> Iterator[SchemaChange]:
    yield from _sets(_type_set(old), _type_set(new), old.get("type"), new.get("type"), f"{path}/type")


def _type_set(schema: dict[str, Any]) -> frozenset[Any]:
    said = schema.get("type")
    if said is ABSENT:
        return _ALL_TYPES
    names = frozenset([said] if isinstance(said, str) else said)
    return names | {"integer"} if "number" in names else names


def _enums(_: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, __: int) -> Iterator[SchemaChange]:
    before, after = old.get("enum"), new.get("enum")
    if before is ABSENT or after is ABSENT:
        yield from _constraint(before, after, f"{path}/enum")
    else:
        yield from _sets(_values(before), _values(after), before, after, f"{path}/enum")


def _values(items: Any) -> frozenset[bytes]:
    return frozenset(canonical(item) for item in items) if isinstance(items, list) else frozenset()


def _sets(old: frozenset[Any], new: frozenset[Any], before: Any, after: Any, path: str) -> Iterator[SchemaChange]:
    """Sets of what is taken: less narrows, more widens, both at once cannot be ordered."""
    if old == new:
        return
    direction: Direction = "narrowed" if new < old else "widened" if new > old else "changed"
    yield SchemaChange(path, direction, before, after)


def _required(_: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, __: int) -> Iterator[SchemaChange]:
    before, after = set(old.get("required") or ()), set(new.get("required") or ())
    for name in sorted(after - before):
        yield SchemaChange(f"{path}/required", "narrowed", ABSENT, name)
    for name in sorted(before - after):
        yield SchemaChange(f"{path}/required", "widened", name, ABSENT)


def _properties(
    comparison: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, depth: int
) -> Iterator[SchemaChange]:
    before, after = _mapping(old, "properties"), _mapping(new, "properties")
    for name, schema in before.items():
        at = f"{path}/properties/{_token(name)}"
        if name in after:
            yield from comparison.schemas(schema, after[name], at, depth + 1)
        else:
            # Still taken when nothing else forbids it, but no longer heeded: a caller who gives it must know.
            yield SchemaChange(
                at, "narrowed" if new.get("additionalProperties") is False else "changed", schema, ABSENT
            )
    for name in after.keys() - before.keys():
        yield SchemaChange(f"{path}/properties/{_token(name)}", "widened", ABSENT, after[name])


def _additional(
    comparison: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, depth: int
) -> Iterator[SchemaChange]:
    for keyword in ("additionalProperties", "items"):
        if keyword in old or keyword in new:
            yield from comparison.schemas(
                old.get(keyword, True), new.get(keyword, True), f"{path}/{keyword}", depth + 1
            )


def _keyed(
    comparison: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, depth: int
) -> Iterator[SchemaChange]:
    before, after = _mapping(old, "patternProperties"), _mapping(new, "patternProperties")
    for name in [*before, *(name for name in after if name not in before)]:
        at = f"{path}/patternProperties/{_token(name)}"
        yield from comparison.schemas(before.get(name, True), after.get(name, True), at, depth + 1)


def _positions(
    comparison: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, depth: int
) -> Iterator[SchemaChange]:
    before, after = _items(old, "prefixItems"), _items(new, "prefixItems")
    for number in range(max(len(before), len(after))):
        one = before[number] if number < len(before) else old.get("items", True)
        other = after[number] if number < len(after) else new.get("items", True)
        yield from comparison.schemas(one, other, f"{path}/prefixItems/{number}", depth + 1)


def _branches(
    comparison: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, depth: int
) -> Iterator[SchemaChange]:
    """A branch of `allOf` more narrows, one of `anyOf` more widens, of `oneOf` who knows; the first of all narrows."""
    for keyword, more, fewer in _MEANING:
        before, after = _items(old, keyword), _items(new, keyword)
        at = f"{path}/{keyword}"
        if not before or not after:
            if before or after:
                yield SchemaChange(at, "narrowed" if after else "widened", before or ABSENT, after or ABSENT)
            continue
        gone, come = _unmatched(before, after)
        for number, (one, other) in enumerate(zip(gone, come, strict=False)):
            yield from comparison.schemas(one, other, f"{at}/{number}", depth + 1)
        for schema in come[len(gone) :]:
            yield SchemaChange(at, more, ABSENT, schema)
        for schema in gone[len(come) :]:
            yield SchemaChange(at, fewer, schema, ABSENT)


_MEANING: Final[tuple[tuple[str, Direction, Direction], ...]] = (
    ("allOf", "narrowed", "widened"),
    ("anyOf", "widened", "narrowed"),
    ("oneOf", "changed", "changed"),
)


def _unmatched(before: list[Any], after: list[Any]) -> tuple[list[Any], list[Any]]:
    """The branches that have no equal on the other side, in their order."""
    ours, theirs = _values(before), _values(after)
    return (
        [schema for schema in before if canonical(schema) not in theirs],
        [schema for schema in after if canonical(schema) not in ours],
    )


def _bounds(_: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, __: int) -> Iterator[SchemaChange]:
    for keyword in _BOUNDS if _has(old, new, _BOUND_SET) else ():
        before, after = old.get(keyword), new.get(keyword)
        if before == after:
            continue
        tighter = _tighter(before, after, lower=keyword in _LOWER)
        yield SchemaChange(f"{path}/{keyword}", "narrowed" if tighter else "widened", before, after)


def _tighter(before: Any, after: Any, *, lower: bool) -> bool:
    """Whether a bound leaves fewer values than before; none at all leaves every one."""
    if before is None or after is None:
        return before is None
    return bool((after > before) == lower)


def _multiples(_: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, __: int) -> Iterator[SchemaChange]:
    before, after = old.get("multipleOf"), new.get("multipleOf")
    if before == after:
        return
    if before is ABSENT or after is ABSENT:
        yield from _constraint(before, after, f"{path}/multipleOf")
    else:
        direction: Direction = "narrowed" if after % before == 0 else "widened" if before % after == 0 else "changed"
        yield SchemaChange(f"{path}/multipleOf", direction, before, after)


def _unique(_: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, __: int) -> Iterator[SchemaChange]:
    before, after = bool(old.get("uniqueItems")), bool(new.get("uniqueItems"))
    if before != after:
        yield SchemaChange(f"{path}/uniqueItems", "narrowed" if after else "widened", before, after)


def _constraints(
    _: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, __: int
) -> Iterator[SchemaChange]:
    for keyword in _CONSTRAINTS if _has(old, new, _CONSTRAINT_SET) else ():
        yield from _constraint(old.get(keyword), new.get(keyword), f"{path}/{keyword}")


def _constraint(before: Any, after: Any, path: str) -> Iterator[SchemaChange]:
    if before != after or type(before) is not type(after):
        direction: Direction = "narrowed" if before is ABSENT else "widened" if after is ABSENT else "changed"
        yield SchemaChange(path, direction, before, after)


def _words(_: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, __: int) -> Iterator[SchemaChange]:
    for keyword in _WORDS:
        if keyword not in ("$defs", "definitions") and old.get(keyword) != new.get(keyword):
            yield SchemaChange(f"{path}/{keyword}", "described", old.get(keyword), new.get(keyword))


def _others(_: _Comparison, old: dict[str, Any], new: dict[str, Any], path: str, __: int) -> Iterator[SchemaChange]:
    """Keywords that we do not know, and references that lead out of the document."""
    for keyword in sorted((old.keys() | new.keys()) - _KNOWN):
        if old.get(keyword) != new.get(keyword):
            yield SchemaChange(f"{path}/{_token(keyword)}", "changed", old.get(keyword), new.get(keyword))


_KNOWN: Final = frozenset(
    (
        *_LOWER, *_UPPER, *_CONSTRAINTS, *_WORDS, "type", "enum", "required", "properties", "additionalProperties",
        "items", "patternProperties", "prefixItems", "allOf", "anyOf", "oneOf", "multipleOf", "uniqueItems",
    )
)  # fmt: skip
_RULES: Final[tuple[Rule, ...]] = (
    _types, _enums, _required, _properties, _additional, _keyed, _positions, _branches, _bounds, _multiples, _unique,
    _constraints, _words, _others,
)  # fmt: skip


def _mapping(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    found = schema.get(keyword)
    return found if isinstance(found, dict) else {}


def _items(schema: dict[str, Any], keyword: str) -> list[Any]:
    found = schema.get(keyword)
    return found if isinstance(found, list) else []


def _token(name: str) -> str:
    """A name as a token of a JSON pointer (RFC 6901 section 3)."""
    return name.replace("~", "~0").replace("/", "~1")
