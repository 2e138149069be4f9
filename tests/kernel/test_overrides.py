"""The rules of overrides, each by itself: what agents see, what servers get, and what cannot be merged."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callboard.contracts.definitions import (
    PlaybookDefinition,
    PlaybookServer,
    ServerDefinition,
    ToolOverride,
    ToolRules,
)
from callboard.kernel.definition_rules import all_faults
from callboard.kernel.overrides import both_changed, filling_of, misfits, overridden, override_of
from callboard_router.catalogue.schema import value_faults

SCHEMA = {
    "type": "object",
    "properties": {"repo": {"type": "string", "maxLength": 5}, "limit": {"type": "integer"}, "deep": True},
    "required": ["repo", "limit"],
}
RAW = (
    b'{ "name":"log","title":"Log", "description":"The log","inputSchema":{"type":"object","properties":'
    b'{"repo":{"type":"string","maxLength":5},"limit":{"type":"integer","maximum":1.0e2},"deep":true},'
    b'"required":["repo","limit"]},"annotations":{"readOnlyHint":true,"title":"T"},"z":1.50}'
)


def seen(**override: Any) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.json.decode(overridden(RAW, "git__log", ToolOverride(**override)))
    return shown


def definition(**members: Any) -> bytes:
    return msgspec.json.encode({"name": "log", "description": "The log", "inputSchema": SCHEMA, **members})


def test_words_are_replaced_and_what_is_not_named_keeps_its_bytes() -> None:
    raw = overridden(RAW, "git__log", ToolOverride(title="Geschichte", description="new"))
    assert b'"annotations":{"readOnlyHint":true,"title":"T"},"z":1.50' in raw
    assert b'{"type":"integer","maximum":1.0e2}' in raw
    found = msgspec.json.decode(raw)
    assert (found["name"], found["title"], found["description"]) == ("git__log", "Geschichte", "new")


def test_annotations_are_replaced_one_by_one() -> None:
    found = seen(annotations={"destructiveHint": False, "title": "U"})["annotations"]
    assert found == {"readOnlyHint": True, "destructiveHint": False, "title": "U"}


def test_a_pinned_argument_is_not_shown_and_not_required() -> None:
    schema = seen(pins={"repo": "a"})["inputSchema"]
    assert (list(schema["properties"]), schema["required"]) == (["limit", "deep"], ["limit"])


def test_an_argument_with_a_default_need_not_be_given_and_says_so() -> None:
    schema = seen(defaults={"limit": 5, "deep": False})["inputSchema"]
    assert schema["required"] == ["repo"]
    assert schema["properties"]["limit"] == {"type": "integer", "maximum": 100.0, "default": 5}
    assert schema["properties"]["deep"] == {"default": False}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b'{"name":"log"}', {"repo": "a", "limit": 5}),
        (b'{"name":"log","arguments":{"limit":1}}', {"repo": "a", "limit": 1}),
        (b'{"name":"log","arguments":{"repo":"mine","x":1}}', {"repo": "a", "limit": 5, "x": 1}),
        (b'{"name":"log","arguments":{"limit":null}}', {"repo": "a", "limit": None}),
    ],
)
def test_a_default_gives_way_to_the_caller_and_a_pin_does_not(given: bytes, sent: dict[str, Any]) -> None:
    filling = filling_of(ToolOverride(defaults={"limit": 5}, pins={"repo": "a"}))
    assert filling is not None
    params, arguments = filling.filled(given)
    assert msgspec.json.decode(arguments) == sent
    assert msgspec.json.decode(params)["arguments"] == sent


def test_filling_leaves_the_bytes_of_all_other_members_as_they_are() -> None:
    filling = filling_of(ToolOverride(pins={"repo": "a"}))
    assert filling is not None
    params, _ = filling.filled(b'{"name":"log","arguments":{"n":1.0e2},"_meta":{"a" :1.50}}')
    assert b'"n":1.0e2' in params
    assert b'"_meta":{"a" :1.50}' in params


def test_a_tool_without_defaults_and_pins_has_nothing_to_fill() -> None:
    assert filling_of(None) is None
    assert filling_of(ToolOverride(description="x")) is None


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ({"pins": {"repo": "a"}, "defaults": {"limit": 1, "deep": []}}, None),
        ({"pins": {"gone": 1}}, "pin 'gone': the tool has no such argument"),
        ({"defaults": {"gone": 1}}, "default 'gone': the tool has no such argument"),
        ({"pins": {"repo": "far too long"}}, "pin 'repo': "),
        ({"defaults": {"limit": "5"}}, "default 'limit': "),
        ({"description": "words have nothing to fit"}, None),
    ],
)
def test_defaults_and_pins_fit_the_schema_of_the_tool(override: dict[str, Any], fault: str | None) -> None:
    found = misfits(ToolOverride(**override), definition(), value_faults)
    assert [text[: len(fault or "")] for text in found] == ([fault] if fault else [])


def test_a_value_is_judged_where_it_stands_with_the_definitions_of_the_schema() -> None:
    schema = {"$defs": {"small": {"maximum": 3}}, "properties": {"n": {"$ref": "#/$defs/small"}}, "required": ["m"]}
    raw = definition(inputSchema=schema)
    assert misfits(ToolOverride(pins={"n": 3}), raw, value_faults) == []
    assert len(misfits(ToolOverride(pins={"n": 4}), raw, value_faults)) == 1


@pytest.mark.parametrize(
    ("override", "theirs", "conflicts"),
    [
        ({"description": "ours"}, {"title": "New"}, 0),
        ({"description": "ours"}, {"description": "theirs"}, 1),
        ({"title": "ours"}, {"title": "theirs"}, 1),
        ({"annotations": {"readOnlyHint": True}}, {"annotations": {"destructiveHint": False}}, 0),
        ({"annotations": {"readOnlyHint": True}}, {"annotations": {"readOnlyHint": False}}, 1),
        ({"pins": {"repo": "a"}}, {"inputSchema": {**SCHEMA, "required": ["repo"]}}, 0),
        ({"pins": {"repo": "a"}}, {"inputSchema": {"properties": {"repo": {"type": "string"}}}}, 1),
        ({"defaults": {"limit": 1}}, {"inputSchema": {"properties": {"limit": {"type": "number"}}}}, 1),
        ({"pins": {"repo": "a"}, "description": "ours"}, {"description": "b", "inputSchema": {}}, 1),
        ({"name": "history"}, {"description": "theirs"}, 0),
    ],
)
def test_what_both_sides_changed_is_a_conflict_and_nothing_else(
    override: dict[str, Any], theirs: dict[str, Any], conflicts: int
) -> None:
    assert len(both_changed(ToolOverride(**override), definition(), definition(**theirs))) == conflicts


def test_the_older_words_say_the_same_as_an_override() -> None:
    rules = ToolRules(rename={"log": "history"}, describe={"log": "old"}, override={"log": ToolOverride(title="T")})
    assert override_of(rules, "log") == ToolOverride(name="history", description="old", title="T")
    assert override_of(rules, "show") is None


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        (ToolRules(rename={"log": "a"}, override={"log": ToolOverride(name="a")}), None),
        (ToolRules(rename={"log": "a"}, override={"log": ToolOverride(name="b")}), "`rename` says otherwise"),
        (
            ToolRules(describe={"log": "a"}, override={"log": ToolOverride(description="b")}),
            "`describe` says otherwise",
        ),
        (ToolRules(override={"log": ToolOverride()}), "says nothing"),
        (ToolRules(override={"log": ToolOverride(defaults={"a": 1}, pins={"a": 1})}), "a default and a pin"),
        (ToolRules(override={"log": ToolOverride(annotations={"readOnlyHint": "yes"})}), "true or false"),
        (ToolRules(override={"log": ToolOverride(name="no spaces")}), "cannot be renamed"),
        (ToolRules(rename={"a": "x"}, override={"b": ToolOverride(name="x")}), "two tools are renamed to 'x'"),
    ],
)
def test_an_override_that_contradicts_itself_or_the_older_words_is_refused(rules: ToolRules, fault: str | None) -> None:
    playbook = PlaybookDefinition(servers={"git": PlaybookServer(tools=rules)})
    found = all_faults({"git": ServerDefinition(url="http://h")}, {"p": playbook})
    assert bool(found) is (fault is not None)
    assert fault is None or fault in found[0].message
