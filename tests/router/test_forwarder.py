"""What a router remembers of calls it sent on: as long as "no responders" may come, and no longer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callboard.contracts import subjects
from callboard.contracts.calls import MODERN, CallHead
from callboard_router.calls import forward
from callboard_router.calls.forward import Forwarder
from tests.support.waiting import eventually


class Bus:
    """Notes what is sent; a flush is answered when the test lets it."""

    instance = "router-1"

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, str]] = []
        self.flushes = asyncio.Semaphore(0)

    def send(self, subject: str, payload: bytes, reply: str = "") -> None:
        self.sent.append((subject, payload, reply))

    async def tell(self, *_: object) -> None:
        return

    async def flush(self) -> bool:
        await self.flushes.acquire()
        return True


def head() -> CallHead:
    words: dict[str, Any] = dict.fromkeys(CallHead.__struct_fields__[:13], "")
    named = {"version": 1, "era": MODERN, "organisation": "acme", "server": "s", "method": "tools/call"}
    return CallHead(**{**words, **named}, deadline=1 << 60, received=0, routed=0)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    monkeypatch.setattr(forward, "SWEEP_SECONDS", 0.01)
    return Bus()


async def test_a_call_is_forgotten_when_the_server_has_dealt_with_it(bus: Bus) -> None:
    forwarder = Forwarder(bus, 5.0, lambda *_: None)  # type: ignore[arg-type]  # as much of a bus as it needs
    forwarder.forward(head(), b"{}")
    bus.flushes.release()  # the first answer may have overtaken the call
    await eventually(bus.flushes.locked)
    assert len(forwarder._pending) == 1
    bus.flushes.release()

    async def forgotten() -> bool:
        return not forwarder._pending

    await eventually(forgotten)
    forwarder._returned("cb.returned.router-1.1", "", b"", b"NATS/1.0 503\r\n\r\n")
    assert len(bus.sent) == 1


async def test_a_call_that_nobody_took_is_sent_again_under_another_number(bus: Bus) -> None:
    forwarder = Forwarder(bus, 5.0, lambda *_: None)  # type: ignore[arg-type]  # as much of a bus as it needs
    forwarder.forward(head(), b"{}")
    forwarder._returned("cb.returned.router-1.1", "", b"not empty", b"NATS/1.0 503\r\n\r\n")
    forwarder._returned("cb.returned.router-1.1", "", b"", b"NATS/1.0 503\r\n\r\n")

    async def again() -> bool:
        return len(bus.sent) == 2

    await eventually(again)
    assert [(subject, reply) for subject, _, reply in bus.sent] == [
        ("cb.call.acme.s", "cb.returned.router-1.1"),
        ("cb.call.acme.s", "cb.returned.router-1.2"),
    ]


async def test_the_reply_subject_of_a_call_is_one_that_the_server_need_not_remember(bus: Bus) -> None:
    """It remembers those to which whoever hears the call may not publish anyway: all of two minutes."""
    forwarder = Forwarder(bus, 5.0, lambda *_: None)  # type: ignore[arg-type]  # as much of a bus as it needs
    forwarder.forward(head(), b"{}")
    ((subject, _, reply),) = bus.sent
    assert subject == subjects.call("acme", "s")
    assert reply.startswith("cb.returned.router-1.")
    assert "cb.returned.>" in subjects.PERMISSIONS["connectors"][0]
    assert "cb.returned.>" in subjects.PERMISSIONS["router"][1]
    forwarder._sweep.cancel()  # type: ignore[union-attr]
