"""Ids of events name their stream, say what it answers, and cannot be made to say anything else."""

from __future__ import annotations

import base64

import pytest

from callboard_edge.mcp.event_ids import EventId, holder_of, own_stream, parse, prefix_of

EDGE, NONCE = "0123456789abcdef", "fedcba9876543210"


@pytest.mark.parametrize("request_id", [b"1", b"-7", b'"a b"', '"\u00e4"'.encode(), b'"' + b"x" * 126 + b'"'])
def test_what_was_written_is_read(request_id: bytes) -> None:
    assert parse(prefix_of("1a1f0c", request_id) + b"12") == EventId("1a1f0c", request_id, 12)


def test_a_session_s_own_stream_names_the_edge_that_holds_it() -> None:
    stream = own_stream(EDGE, NONCE)
    assert parse(prefix_of(stream) + b"3") == EventId(stream, b"", 3)
    assert holder_of(stream) == EDGE
    assert holder_of("1a1f0c") == ""


def crafted(request_id: bytes) -> bytes:
    return b"1a1f0c." + base64.urlsafe_b64encode(request_id).rstrip(b"=") + b".1"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"7",
        b"1a1f0c..1",  # answers nothing, and is nobody's own stream
        b"*.MQ.1",
        b"a.b.c.MQ.1",
        b">.MQ.1",
        b"1a1f0c.MQ.",
        b"1a1f0c.MQ.-1",
        b"1a1f0c.MQ.9999999999",
        b"1A.MQ.1",
        b"1a1f0c.MQ.1\n",
        b"a" * 65 + b".MQ.1",
        b"1a1f0c.M.1",
        crafted(b"null"),
        crafted(b'{"a":1}'),
        crafted(b'1,"result":{}'),
        crafted(b"1.5"),
        crafted(b'"\xff"'),
    ],
)
def test_what_is_no_id_of_ours_is_told_apart(text: bytes) -> None:
    assert parse(text) is None


def test_white_space_of_a_client_does_not_reach_the_wire_again() -> None:
    found = parse(crafted(b' "a"\n'))
    assert found is not None
    assert found.request == b'"a"'
