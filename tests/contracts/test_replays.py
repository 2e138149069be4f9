"""Kept events are cut where the bus does not take them whole, and have the bytes they always had."""

from __future__ import annotations

import pytest

from callboard.contracts.replays import EVENT, LAST, PART, KeptEvent, decode_kept, encode_kept, parts


@pytest.mark.parametrize(("size", "count"), [(0, 1), (10, 1), (11, 2), (31, 4)])
def test_a_long_event_is_cut_and_nothing_of_it_is_lost(size: int, count: int) -> None:
    body = bytes(range(size))
    cut = list(parts(KeptEvent(7, LAST, "e", body), 10))
    assert [(event.number, event.kind, event.edge) for event in cut] == [(7, PART, "e")] * (count - 1) + [
        (7, LAST, "e")
    ]
    assert [event.part for event in cut] == list(range(count))
    assert b"".join(event.body for event in cut) == body


def test_an_event_has_the_bytes_it_always_had() -> None:
    event = KeptEvent(3, EVENT, "e", b"{}")
    assert encode_kept(event).hex() == "950301a165c4027b7d00"
    assert decode_kept(bytes.fromhex("950301a165c4027b7d00")) == event
    assert decode_kept(bytes.fromhex("940301a165c4027b7d")) == event
