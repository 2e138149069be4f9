"""What a worker remembers of calls it answered."""

from __future__ import annotations

import asyncio
from typing import Any

from callboard.contracts.calls import MODERN, CallHead
from callboard_connectors.calls.in_flight import KEPT_BYTES, KEPT_CALLS, Call, InFlight


def call(table: InFlight, number: int) -> Call:
    words: dict[str, Any] = dict.fromkeys(CallHead.__struct_fields__[:13], "")
    named = {"call_id": f"c{number}", "reply_to": f"inbox.{number}", "version": 1, "era": MODERN}
    head = CallHead(**{**words, **named}, deadline=0, received=0, routed=0)
    return Call(head, _publish, _flush, 1 << 20, table.deadlines)


async def _publish(subject: str, data: bytes) -> None:
    """Nobody listens."""


async def _flush() -> None:
    """Nothing is on its way."""


async def test_a_call_that_ended_lately_is_not_made_again_and_the_oldest_are_forgotten_first() -> None:
    table = InFlight()
    for number in range(KEPT_CALLS + 2):
        assert table.begin(call(table, number))
        table.finish(call(table, number), b"%d" % number)
    assert [table.begin(call(table, number)) for number in (0, 1, 2, 3, KEPT_CALLS + 1)] == [True, True, *[False] * 3]
    assert table.finished("c0") is None
    kept = table.finished(f"c{KEPT_CALLS + 1}")
    assert kept is not None
    assert (kept.reply_to, kept.frame) == (f"inbox.{KEPT_CALLS + 1}", b"%d" % (KEPT_CALLS + 1))


async def test_an_answer_that_is_too_large_to_keep_is_known_to_have_been_given() -> None:
    table = InFlight()
    one = call(table, 1)
    assert table.begin(one)
    assert not table.idle.is_set()
    table.finish(one, b"x" * (KEPT_BYTES + 1))
    await asyncio.wait_for(table.idle.wait(), 1)
    kept = table.finished("c1")
    assert kept is not None
    assert kept.frame is None
    assert not table.begin(call(table, 1))
