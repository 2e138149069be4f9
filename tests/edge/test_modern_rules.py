from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callboard.kernel.header_values import decode_header_value
from callboard_edge.mcp.envelope import parse, read_params
from callboard_edge.mcp.modern import Fault, check, is_modern

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def verdict(
    headers: list[tuple[bytes, bytes]], method: str = "tools/call", meta: Any = META, **params: Any
) -> int | None:
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params}}
    if meta is not None:
        body["params"]["_meta"] = meta
    message = parse(msgspec.json.encode(body))
    try:
        check(message, read_params(message), dict(headers), headers)
    except Fault as fault:
        return fault.code
    return None


GOOD = [(b"mcp-protocol-version", b"2026-07-28"), (b"mcp-method", b"tools/call"), (b"mcp-name", b"echo")]


def test_a_request_whose_headers_mirror_its_body_passes() -> None:
    assert verdict(GOOD, name="echo") is None


def test_white_space_around_a_header_value_does_not_matter() -> None:
    assert verdict([(name, b" " + value + b"\t ") for name, value in GOOD], name="echo") is None


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_header_is_a_mismatch(missing: int) -> None:
    assert verdict([pair for index, pair in enumerate(GOOD) if index != missing], name="echo") == -32020


def test_a_header_that_differs_or_stands_twice_is_a_mismatch() -> None:
    assert verdict(GOOD, name="other") == -32020
    assert verdict([*GOOD, (b"mcp-name", b"echo")], name="echo") == -32020


def test_missing_meta_is_an_invalid_parameter() -> None:
    assert verdict(GOOD, meta=None, name="echo") == -32602
    assert verdict(GOOD, meta={"io.modelcontextprotocol/protocolVersion": "2026-07-28"}, name="echo") == -32602


def test_an_unknown_version_is_named_with_those_that_are_served() -> None:
    headers = [(b"mcp-protocol-version", b"2027-01-01"), *GOOD[1:]]
    meta = {**META, "io.modelcontextprotocol/protocolVersion": "2027-01-01"}
    assert verdict(headers, meta=meta, name="echo") == -32022


def test_a_name_beyond_ascii_travels_in_base64_and_only_in_its_canonical_form() -> None:
    assert decode_header_value("=?base64?w6k=?=") == "é"
    assert decode_header_value("=?base64?w6l=?=") is None
    assert decode_header_value("=?base64?***?=") is None
    assert decode_header_value("plain") == "plain"


@pytest.mark.parametrize(
    ("header", "meta", "modern"),
    [
        (b"2026-07-28", META, True),
        (b"2026-07-28", None, True),
        (b"2025-11-25", META, False),
        (None, META, True),
        (None, None, False),
        (b"2099-01-01", META, True),
        (b"2099-01-01", None, False),
    ],
)
def test_the_era_is_told_by_header_then_by_meta(header: bytes | None, meta: Any, modern: bool) -> None:
    params: dict[str, Any] = {} if meta is None else {"_meta": meta}
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "x", "params": params})
    assert is_modern(header, read_params(parse(body))) is modern
