"""Records leave together, by subject, soon, within bounds, and none is left behind."""

from __future__ import annotations

import asyncio

import pytest

from callboard.platform import record_bursts
from callboard.platform.record_bursts import BURST_BYTES, BURST_RECORDS, BURST_SECONDS, RecordBursts
from tests.support.waiting import eventually

ACME, ZETA = "cb.calls.acme.start", "cb.calls.zeta.start"


class _Bus:
    """Notes what it is to send."""

    def __init__(self, max_payload: int = 1024 * 1024) -> None:
        self.max_payload = max_payload
        self.sent: list[tuple[str, bytes]] = []

    def send(self, subject: str, payload: bytes) -> None:
        self.sent.append((subject, payload))


async def test_what_comes_within_a_moment_is_one_message_for_each_subject() -> None:
    bus = _Bus()
    bursts = RecordBursts(bus)
    began = asyncio.get_running_loop().time()
    for record in (b"1", b"2", b"3"):
        bursts.add(ACME, record)
    bursts.add(ZETA, b"4")
    assert bus.sent == []

    await eventually(lambda: bus.sent, every=0.001)
    assert bus.sent == [(ACME, b"1\n2\n3"), (ZETA, b"4")]
    assert BURST_SECONDS - 0.002 < asyncio.get_running_loop().time() - began < 1
    bursts.add(ACME, b"5")
    await eventually(lambda: bus.sent[2:] == [(ACME, b"5")])


async def test_a_burst_that_is_full_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_bursts, "BURST_SECONDS", 60)
    bus = _Bus()
    bursts = RecordBursts(bus)
    for number in range(2 * BURST_RECORDS + 1):
        bursts.add(ACME, b"%d" % number)
    whole = [payload.split(b"\n") for _, payload in bus.sent]
    assert [len(lines) for lines in whole] == [BURST_RECORDS, BURST_RECORDS]
    assert [line for lines in whole for line in lines] == [b"%d" % number for number in range(2 * BURST_RECORDS)]
    bursts.close()


@pytest.mark.parametrize("max_payload", [1024 * 1024, 100_000])
async def test_no_message_is_larger_than_a_burst_may_be_but_a_record_that_is_larger_by_itself(
    max_payload: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_bursts, "BURST_SECONDS", 60)
    bus = _Bus(max_payload)
    bursts = RecordBursts(bus)
    limit = min(BURST_BYTES, max_payload)
    records = [b"a" * 90_000, b"b" * 90_000, b"c" * 90_000, b"d" * (2 * BURST_BYTES), b"e", b"f"]
    for record in records:
        bursts.add(ACME, record)
    bursts.close()
    assert b"\n".join(payload for _, payload in bus.sent).split(b"\n") == records, "in order, and each once"
    assert all(len(payload) <= limit or b"\n" not in payload for _, payload in bus.sent)
    assert bus.sent[-1] == (ACME, b"e\nf")


async def test_what_waits_leaves_before_a_stop_and_what_comes_then_at_once() -> None:
    bus = _Bus()
    bursts = RecordBursts(bus)
    bursts.add(ACME, b"1")
    bursts.close()
    assert bus.sent == [(ACME, b"1")]
    bursts.add(ACME, b"2")
    bursts.close()
    assert bus.sent == [(ACME, b"1"), (ACME, b"2")]
