from __future__ import annotations

from typing import Any

import pytest

from callboard.kernel.header_values import decode_header_value, encode_header_value
from callboard.kernel.param_headers import mirror_fault

SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "nested": {"type": "object", "properties": {"flag": {"type": "boolean", "x-mcp-header": "Flag"}}},
    },
}


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, {}),
        ({"region": None}, {}),
        ({"region": "eu"}, {"region": "eu"}),
        ({"region": "é"}, {"region": encode_header_value("é")}),
        ({"region": "eu"}, {"region": " eu\t"}),
        ({"count": 42}, {"count": "42"}),
        ({"count": 42}, {"count": "42.0"}),
        ({"count": 42.0}, {"count": "42"}),
        ({"nested": {"flag": True}}, {"flag": "true"}),
        ({}, {"unknown": "x"}),
    ],
)
def test_headers_that_mirror_the_arguments_pass(arguments: Any, headers: dict[str, str]) -> None:
    assert mirror_fault(SCHEMA, arguments, headers) is None


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"region": "eu"}, {}),
        ({}, {"region": "eu"}),
        ({"region": None}, {"region": "eu"}),
        ({"region": "eu"}, {"region": "us"}),
        ({"region": "é"}, {"region": "=?base64?w6l=?="}),
        ({"count": 42}, {"count": "42.5"}),
        ({"count": 42}, {"count": "4e1"}),
        ({"nested": {"flag": True}}, {"flag": "True"}),
        ({"region": {"a": 1}}, {"region": "x"}),
    ],
)
def test_headers_that_do_not_are_told(arguments: Any, headers: dict[str, str]) -> None:
    assert mirror_fault(SCHEMA, arguments, headers)


@pytest.mark.parametrize("text", ["plain", "", " edge ", "é", "a\nb", "=?base64?eA==?=", "\x7f", "😀"])
def test_every_text_survives_a_header(text: str) -> None:
    value = encode_header_value(text)
    assert value.isascii()
    assert "\n" not in value
    assert decode_header_value(value) == text
