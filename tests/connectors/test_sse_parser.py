"""The event stream parser, whatever way the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_connectors.transports.sse import EventParser, LineParser, ServerEvent, TooLarge

STREAM = (
    b"\xef\xbb\xbf: a comment\n\n"
    b'event: message\nid: 7\ndata: {"a":1}\n\n'
    b"data: first\r\ndata:second\r\n\r\n"
    b"retry: 250\rid: 8\rdata:\r\r"
    b"event: other\ndata: x\n\n"
    b"data: never ended"
)
EVENTS = [
    ServerEvent(b'{"a":1}', id="7"),
    ServerEvent(b"first\nsecond"),
    ServerEvent(b"", id="8", retry=250),
    ServerEvent(b"x", event="other"),
]


def parse(chunks: list[bytes]) -> list[ServerEvent]:
    parser = EventParser(1000)
    return [event for chunk in chunks for event in parser.feed(chunk)]


def feed_all(parser: EventParser, chunks: list[bytes]) -> None:
    for chunk in chunks:
        parser.feed(chunk)


def test_every_line_ending_and_many_data_lines_are_understood() -> None:
    assert parse([STREAM]) == EVENTS


def test_one_byte_at_a_time_gives_the_same_events() -> None:
    assert parse([STREAM[at : at + 1] for at in range(len(STREAM))]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    edges = sorted({0, *cuts, len(STREAM)})
    assert parse([STREAM[a:b] for a, b in pairwise(edges)]) == EVENTS


def test_an_event_over_the_limit_is_refused_also_in_pieces() -> None:
    parser = EventParser(100)
    assert parser.feed(b"data: " + b"x" * 50) == []
    with pytest.raises(TooLarge):
        parser.feed(b"x" * 60)
    many_lines = EventParser(100)
    with pytest.raises(TooLarge):
        feed_all(many_lines, [b"data: 123456789\n"] * 20)


def test_many_small_events_are_no_large_one() -> None:
    parser = EventParser(100)
    for _ in range(100):
        assert parser.feed(b"data: 123456789\n\n") == [ServerEvent(b"123456789")]


def test_json_lines_are_events_too() -> None:
    parser = LineParser(20)
    assert parser.feed(b'{"a":1}\n{"b"') == [ServerEvent(b'{"a":1}')]
    assert parser.feed(b":2}\n\n") == [ServerEvent(b'{"b":2}')]
    with pytest.raises(TooLarge):
        parser.feed(b"x" * 21)
