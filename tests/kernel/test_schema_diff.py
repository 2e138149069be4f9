from __future__ import annotations

import random
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from callboard.kernel.schema_diff import schema_changes

OBJECT = {"type": "object"}


def found(before: Any, after: Any) -> set[tuple[str, str]]:
    return {(change.direction, change.path) for change in schema_changes(before, after)}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


RULES: list[tuple[str, Any, Any, str, str]] = [
    ("a type less", {"type": ["string", "null"]}, {"type": "string"}, "narrowed", "/type"),
    ("a type of one's own", {}, {"type": "string"}, "narrowed", "/type"),
    ("integers of numbers", {"type": "number"}, {"type": "integer"}, "narrowed", "/type"),
    ("another type", {"type": "string"}, {"type": "integer"}, "changed", "/type"),
    ("a value less", {"enum": ["a", "b"]}, {"enum": ["a"]}, "narrowed", "/enum"),
    ("only certain values", {}, {"enum": ["a"]}, "narrowed", "/enum"),
    ("other values", {"enum": ["a"]}, {"enum": ["b"]}, "changed", "/enum"),
    ("a property that must be given", OBJECT, {**OBJECT, "required": ["a"]}, "narrowed", "/required"),
    (
        "a property that is refused",
        {**of(a={}), "additionalProperties": False},
        {**of(), "additionalProperties": False},
        "narrowed",
        "/properties/a",
    ),
    ("a property that is not heeded", of(a={"type": "string"}), of(), "changed", "/properties/a"),
    ("nothing beside", OBJECT, {**OBJECT, "additionalProperties": False}, "narrowed", "/additionalProperties"),
    (
        "strings only beside",
        OBJECT,
        {**OBJECT, "additionalProperties": {"type": "string"}},
        "narrowed",
        "/additionalProperties",
    ),
    ("a bound from below", {}, {"minimum": 3}, "narrowed", "/minimum"),
    ("a higher bound from below", {"minLength": 1}, {"minLength": 3}, "narrowed", "/minLength"),
    ("a lower bound from above", {"maxItems": 5}, {"maxItems": 3}, "narrowed", "/maxItems"),
    ("an exclusive bound", {}, {"exclusiveMaximum": 1}, "narrowed", "/exclusiveMaximum"),
    ("a coarser step", {"multipleOf": 2}, {"multipleOf": 4}, "narrowed", "/multipleOf"),
    ("another step", {"multipleOf": 2}, {"multipleOf": 3}, "changed", "/multipleOf"),
    ("no repetition", {}, {"uniqueItems": True}, "narrowed", "/uniqueItems"),
    ("a pattern", {}, {"pattern": "^a"}, "narrowed", "/pattern"),
    ("another pattern", {"pattern": "^a"}, {"pattern": "^b"}, "changed", "/pattern"),
    ("a constant", {}, {"const": 1}, "narrowed", "/const"),
    ("what must not be", {}, {"not": {"type": "null"}}, "narrowed", "/not"),
    ("an item's type", {"items": {}}, {"items": {"type": "string"}}, "narrowed", "/items/type"),
    (
        "an item at its place",
        {"prefixItems": [{}]},
        {"prefixItems": [{"type": "string"}]},
        "narrowed",
        "/prefixItems/0/type",
    ),
    (
        "one more to agree",
        {"allOf": [{"minimum": 1}]},
        {"allOf": [{"minimum": 1}, {"maximum": 3}]},
        "narrowed",
        "/allOf",
    ),
    ("one less to choose", {"anyOf": [{"const": 1}, {"const": 2}]}, {"anyOf": [{"const": 1}]}, "narrowed", "/anyOf"),
    ("a first choice", {}, {"anyOf": [{"const": 1}]}, "narrowed", "/anyOf"),
    ("one of other ones", {"oneOf": [{"const": 1}]}, {"oneOf": [{"const": 1}, {"const": 2}]}, "changed", "/oneOf"),
    ("a keyword nobody knows", {}, {"x-limit": 3}, "changed", "/x-limit"),
    (
        "a name with a slash",
        of(**{"a/b~": {}}),
        of(**{"a/b~": {"minimum": 1}}),
        "narrowed",
        "/properties/a~1b~0/minimum",
    ),
    ("nothing at all", True, False, "narrowed", ""),
    (
        "deep inside",
        of(a={"items": {"type": "string"}}),
        of(a={"items": {"type": "string", "maxLength": 3}}),
        "narrowed",
        "/properties/a/items/maxLength",
    ),
    (
        "by pattern",
        {"patternProperties": {"^x": {}}},
        {"patternProperties": {"^x": {"type": "string"}}},
        "narrowed",
        "/patternProperties/^x/type",
    ),
]


@pytest.mark.parametrize(("name", "before", "after", "direction", "path"), RULES, ids=[rule[0] for rule in RULES])
def test_every_rule_tells_its_direction_and_the_way_back(
    name: str, before: Any, after: Any, direction: str, path: str
) -> None:
    assert (direction, path) in found(before, after)
    back = {"narrowed": "widened", "changed": "changed"}[direction]
    opposite = {way for way, _ in found(after, before)}
    assert opposite <= {back, "widened"} if direction == "changed" else opposite == {back}


def test_a_new_property_that_may_be_left_out_widens() -> None:
    assert found(of(), of(limit={"type": "integer"})) == {("widened", "/properties/limit")}


def test_a_new_property_that_must_be_given_narrows_as_well() -> None:
    after = {**of(limit={}), "required": ["limit"]}
    assert found(of(), after) == {("widened", "/properties/limit"), ("narrowed", "/required")}


def test_words_are_told_and_affect_no_value() -> None:
    before, after = of(a={"description": "old", "default": 1}), of(a={"description": "new", "default": 2})
    assert found(before, after) == {
        ("described", "/properties/a/description"),
        ("described", "/properties/a/default"),
    }


def test_a_reference_is_what_it_refers_to() -> None:
    before = {**of(a={"$ref": "#/$defs/word"}), "$defs": {"word": {"type": "string"}}}
    assert found(before, of(a={"type": "string"})) == set()
    other = {**of(a={"$ref": "#/$defs/word"}), "$defs": {"word": {"type": "string", "maxLength": 3}}}
    assert found(before, other) == {("narrowed", "/properties/a/maxLength")}


def test_a_definition_that_refers_to_itself_ends() -> None:
    tree = {**of(child={"$ref": "#"}, value={"type": "string"})}
    changed = {**of(child={"$ref": "#"}, value={"type": "integer"})}
    assert ("changed", "/properties/value/type") in found(tree, changed)
    assert found(tree, tree) == set()


def test_true_and_one_are_two_values() -> None:
    assert found({"const": True}, {"const": 1}) == {("changed", "/const")}
    assert found({"enum": [1]}, {"enum": [True]}) == {("changed", "/enum")}


SCALARS = st.sampled_from([None, True, False, 0, 1, 2, 3.5, -4, "", "a", "ab", "abc", "b"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
_KEYWORDS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["string", "number", "integer", "object", "array", ["string", "null"], ["number", "object"]]
        ),
        "enum": st.lists(SCALARS, min_size=1, max_size=3),
        "minimum": st.integers(-5, 5),
        "maximum": st.integers(-5, 5),
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 3),
        "multipleOf": st.integers(1, 4),
        "required": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
        "uniqueItems": st.booleans(),
        "maxProperties": st.integers(0, 3),
    },
)
SCHEMAS = st.recursive(
    _KEYWORDS | st.booleans(),
    lambda inner: st.builds(
        lambda base, more: {**base, **more},
        _KEYWORDS,
        st.fixed_dictionaries(
            {},
            optional={
                "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
                "additionalProperties": inner,
                "items": inner,
                "prefixItems": st.lists(inner, min_size=1, max_size=2),
                "allOf": st.lists(inner, min_size=1, max_size=2),
                "anyOf": st.lists(inner, min_size=1, max_size=2),
                "oneOf": st.lists(inner, min_size=1, max_size=2),
                "not": inner,
            },
        ),
    ),
    max_leaves=5,
)


def _varied(schema: Any, rng: random.Random) -> Any:
    """A schema like this one with a keyword or two changed, so that pairs are near each other."""
    if isinstance(schema, bool) or not schema:
        return schema
    made = dict(schema)
    for key in rng.sample(sorted(made), k=min(len(made), 1)):
        value = made[key]
        if isinstance(value, bool):
            made[key] = not value
        elif isinstance(value, int):
            made[key] = value + rng.choice([-1, 1]) if key != "multipleOf" else value * 2
        elif isinstance(value, dict) and key != "not":
            made[key] = (
                {name: _varied(inner, rng) for name, inner in value.items()}
                if key == "properties"
                else _varied(value, rng)
            )
        elif isinstance(value, list) and len(value) > 1:
            made[key] = value[:-1]
        else:
            del made[key]
    return {
        key: max(value, 0) if key in ("minLength", "maxLength", "maxProperties") else value
        for key, value in made.items()
    }


@settings(max_examples=1000, deadline=None, derandomize=True, report_multiple_bugs=False, phases=[Phase.generate])
@given(
    SCHEMAS, st.one_of(SCHEMAS, st.none()), st.lists(VALUES, min_size=8, max_size=8), st.randoms(use_true_random=False)
)
def test_no_value_that_is_refused_from_now_on_goes_unsaid(
    before: Any, other: Any, values: list[Any], rng: random.Random
) -> None:
    """A value that the old schema takes and the new one refuses must show as narrowed or changed, and vice versa."""
    after = _varied(before, rng) if other is None else other
    ways = {change.direction for change in schema_changes(before, after)}
    old, new = jsonschema_rs.validator_for(before), jsonschema_rs.validator_for(after)
    for value in values:
        was, now = old.is_valid(value), new.is_valid(value)
        if was and not now:
            assert ways & {"narrowed", "changed"}, (before, after, value)
        if now and not was:
            assert ways & {"widened", "changed"}, (before, after, value)


def test_the_property_catches_a_rule_that_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from callboard.kernel import schema_diff

    kept = tuple(rule for rule in schema_diff._RULES if rule.__name__ != "_bounds")
    monkeypatch.setattr(schema_diff, "_RULES", kept)
    with pytest.raises(AssertionError):
        test_no_value_that_is_refused_from_now_on_goes_unsaid()
