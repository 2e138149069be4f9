"""Which definitions are quarantined, and what belongs to the identity of a catalogue."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from callboard.contracts.definitions import Catalogue
from callboard.kernel.header_values import encode_header_value
from callboard.kernel.param_headers import header_map, header_maps, param_headers
from callboard_connectors.discovery.domain import digest_of_catalogue, judge, kinds_offered, quarantine_twins

OBJECT = {"type": "object"}


def tool(schema: Any = OBJECT, **more: Any) -> str | None:
    data = {"name": "t", "inputSchema": schema, **more}
    return judge("tools", json.dumps(data).encode(), 0).problem


def prop(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}}


@pytest.mark.parametrize(
    "schema",
    [
        OBJECT,
        {"$schema": "http://json-schema.org/draft-07/schema#", **OBJECT},
        prop({"$ref": "#/$defs/x"}) | {"$defs": {"x": {"type": "string", "$anchor": "here"}}},
        prop({"type": "string", "pattern": "^(a+)+$"}),
        prop({"type": "string", "pattern": "^(?=a)(?!b).*$"}),
        prop({"const": {"$ref": "http://example.com/data"}, "default": {"$schema": "x"}}),
        {"type": "object", "properties": {"$ref": {"type": "string"}, "x-mcp-header": {"type": "number"}}},
    ],
)
def test_a_good_schema_is_not_quarantined(schema: Any) -> None:
    assert tool(schema) is None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": 12}, "not a valid JSON Schema"),
        (None, "not a JSON Schema object"),
        ({"type": "string"}, 'not of type "object"'),
        (prop({"$ref": "http://127.0.0.1:1/x.json"}), "never fetched"),
        (prop({"$ref": "file:///etc/passwd"}), "never fetched"),
        (prop({"$ref": "other.json"}), "(other.json), which is never fetched"),
        ({"type": "object", "allOf": [{"$dynamicRef": "other#x"}]}, "never fetched"),
        (prop({"$ref": "#/$defs/missing"}), "not a valid JSON Schema"),
        ({"$schema": "http://example.com/own", "type": "object"}, "unknown $schema"),
        (prop({"type": "string", "pattern": "("}), "not a valid JSON Schema"),
        ({"type": "object", "patternProperties": {"[": {}}}, "not a valid JSON Schema"),
        (prop({"type": "string", "pattern": "(a{1000}){1000}"}), "not a valid JSON Schema"),
        (prop({"type": "number", "x-mcp-header": "A"}), "x-mcp-header"),
        (prop({"type": "string", "x-mcp-header": "A b"}), "not a header name"),
        (prop({"type": "string", "x-mcp-header": ""}), "not a header name"),
        (prop({"items": {"type": "string", "x-mcp-header": "A"}}), "no single argument"),
        (
            {
                "type": "object",
                "properties": {
                    "a": {"type": "string", "x-mcp-header": "Same"},
                    "b": {"type": "string", "x-mcp-header": "same"},
                },
            },
            "is also on",
        ),
    ],
)
def test_a_bad_schema_is_quarantined_with_the_reason(schema: Any, words: str) -> None:
    problem = tool(schema)
    assert problem is not None
    assert words in problem


def test_a_bad_output_schema_is_noted() -> None:
    assert "outputSchema" in (tool(outputSchema={"type": 5}) or "")
    assert tool(outputSchema={"type": "array"}) is None


@pytest.mark.parametrize(
    ("kind", "data", "shown", "words"),
    [
        ("tools", {"inputSchema": OBJECT}, "(unnamed 3)", "no name"),
        ("tools", {"name": 5, "inputSchema": OBJECT}, "(unnamed 3)", "no name"),
        ("tools", {"name": "a b", "inputSchema": OBJECT}, "a b", "white space"),
        ("tools", {"name": "x" * 129, "inputSchema": OBJECT}, "x" * 129, "more than 128"),
        ("resources", {"name": "x"}, "(unnamed 3)", "no uri"),
        ("prompts", "text", "(unnamed 3)", "no name"),
    ],
)
def test_an_item_without_a_usable_name_is_quarantined(kind: Any, data: Any, shown: str, words: str) -> None:
    item = judge(kind, json.dumps(data).encode(), 2)
    assert item.name == shown
    assert words in (item.problem or "")


def test_an_item_that_nobody_can_follow_down_is_quarantined_without_its_name() -> None:
    item = judge("tools", b'{"name":"x","inputSchema":' + b"[" * 5000 + b"]" * 5000 + b"}", 2)
    assert (item.name, item.problem) == ("(unnamed 3)", "is nested too deeply")


@pytest.mark.parametrize(
    "schema",
    [
        {"$id": "https://example.com/a", "$defs": {"x": {}}, **prop({"$ref": "a#/$defs/x"})},
        {"$defs": {"x": {"$id": "https://example.com/x", "$anchor": "y"}}, **prop({"$ref": "https://example.com/x#y"})},
        {"$dynamicAnchor": "node", **prop({"$dynamicRef": "#node"})},
    ],
)
def test_a_reference_to_what_the_schema_brings_along_is_good(schema: Any) -> None:
    assert tool(schema) is None


def test_a_limit_beyond_every_range_is_a_limit() -> None:
    assert tool({"type": "object", "properties": {"n": {"maximum": "@"}}}) is not None
    schema = b'{"name":"x","inputSchema":{"type":"object","properties":{"n":{"maximum":1e400,"minimum":-%b}}}}'
    assert judge("tools", schema % (b"9" * 5000), 0).problem is None


def test_the_second_of_a_name_is_quarantined() -> None:
    raw = [json.dumps({"name": name, "inputSchema": OBJECT}).encode() for name in ("a", "b", "a")]
    items = quarantine_twins([judge("tools", one, at) for at, one in enumerate(raw)])
    assert [item.problem is None for item in items] == [True, True, False]


def test_the_raw_bytes_of_an_item_are_kept_and_its_digest_is_canonical() -> None:
    first = judge("tools", b'{"name":"t", "inputSchema":{"type":"object","x":1.0}}', 0)
    second = judge("tools", b'{"inputSchema":{"x":1.0,"type":"object"},"name":"t"}', 0)
    assert bytes(first.raw) == b'{"name":"t", "inputSchema":{"type":"object","x":1.0}}'
    assert first.digest == second.digest


def test_order_and_era_do_not_change_the_identity_of_a_catalogue_and_content_does() -> None:
    a, b = (judge("tools", json.dumps({"name": n, "inputSchema": OBJECT}).encode(), 0) for n in "ab")
    one = Catalogue(era="2025-11-25", tools=(a, b))
    assert digest_of_catalogue(one) == digest_of_catalogue(Catalogue(era="2026-07-28", tools=(b, a)))
    assert digest_of_catalogue(one) != digest_of_catalogue(Catalogue(era="2025-11-25", tools=(a,)))
    bad = msgspec.structs.replace(a, problem="x")
    assert digest_of_catalogue(one) != digest_of_catalogue(Catalogue(era="2025-11-25", tools=(bad, b)))


def test_what_is_listed_follows_the_capabilities() -> None:
    assert kinds_offered(msgspec.Raw(b'{"tools":{},"resources":{}}')) == {
        "tools": True,
        "resources": True,
        "templates": True,
    }
    assert set(kinds_offered(msgspec.Raw(b'{"logging":{}}')).values()) == {False}


def test_arguments_are_mirrored_in_headers_as_their_schema_says() -> None:
    schema = {
        "type": "object",
        "properties": {
            "s": {"type": "string", "x-mcp-header": "S"},
            "n": {"type": "integer", "x-mcp-header": "N"},
            "deep": {"type": "object", "properties": {"b": {"type": "boolean", "x-mcp-header": "B"}}},
        },
    }
    paths = header_map(schema)
    raw = b'{"s":" edge ","n":12345678901234567890,"deep":{"b":false},"other":[1]}'
    assert param_headers(paths, raw) == {
        "Mcp-Param-S": "=?base64?IGVkZ2Ug?=",
        "Mcp-Param-N": "12345678901234567890",
        "Mcp-Param-B": "false",
    }
    assert param_headers(paths, b'{"s":null,"deep":3}') == {}
    assert param_headers(paths, None) == {}
    item = judge("tools", json.dumps({"name": "t", "inputSchema": schema}).encode(), 0)
    assert set(header_maps([item, msgspec.structs.replace(item, name="q", problem="x")])) == {"t"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain text", "plain text"),
        ("", ""),
        ("ü", "=?base64?w7w=?="),
        ("a\r\nb", "=?base64?YQ0KYg==?="),
        ("=?base64?x?=", "=?base64?PT9iYXNlNjQ/eD89?="),
    ],
)
def test_a_header_value_is_encoded_when_it_would_not_survive(text: str, value: str) -> None:
    assert encode_header_value(text) == value
