from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from litestar.response import Stream
from nats.aio.msg import Msg

from callboard.contracts.calls import record_lines
from callboard.platform.bus import Bus
from callboard.platform.settings import CommonSettings
from callboard_edge.api import tail as tailing
from callboard_edge.api.records import _visible_to
from callboard_edge.api.tail import Tails
from tests.support.backends import Bus as Reached
from tests.support.backends import nats_server
from tests.support.waiting import eventually, settled

pytestmark = pytest.mark.asyncio(loop_scope="session")
SUBJECT = "cb.calls.acme.>"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bus]:
    directory: Path = tmp_path_factory.mktemp("tail")
    with nats_server(directory) as server:
        reached = Reached(server.url, server.trust)
        settings = CommonSettings(nats_url=reached.url, nats_credentials=reached.everything(directory))
        connected = Bus("edge", "tail", settings)
        await connected.connect()
        yield connected
        await connected.close()


def pieces(response: Stream) -> AsyncIterator[bytes]:
    stream: AsyncIterator[bytes] = response.iterator  # type: ignore[assignment]
    return stream


def followers(bus: Bus) -> int:
    return sum(1 for subscription in bus.client._subs.values() if subscription.subject == SUBJECT)


async def test_it_unsubscribes_when_the_reader_goes_away(bus: Bus) -> None:
    stream = pieces(Tails(bus).tail(SUBJECT))
    assert await anext(stream) == b": following\n\n"
    assert followers(bus) == 1
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator
    await eventually(lambda: followers(bus) == 0)


async def test_a_stopping_edge_ends_it(bus: Bus) -> None:
    tails = Tails(bus)
    stream = pieces(tails.tail(SUBJECT))
    await anext(stream)
    await bus.client.publish("cb.calls.acme.start", b"1")
    await settled(bus.client)
    tails.close_all()
    assert [piece async for piece in stream] in ([b"data: 1\n\n"], [b""])
    assert followers(bus) == 0


async def test_every_message_is_one_event(bus: Bus) -> None:
    stream = pieces(Tails(bus).tail(SUBJECT))
    await anext(stream)
    await bus.client.publish("cb.calls.acme.start", b'{"a": 1}')
    await bus.client.publish("cb.calls.acme.other", b'{"b":\n2}')
    events = b""
    while events.count(b"\n\n") < 2:
        events += await anext(stream)
    assert events == b'data: {"a": 1}\n\ndata: {"b":\ndata: 2}\n\n'
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_every_record_of_a_message_is_one_event(bus: Bus) -> None:
    stream = pieces(Tails(bus).tail(SUBJECT, _visible_to(_Caller())))  # type: ignore[arg-type]  # a part of a caller
    await anext(stream)
    await bus.client.publish("cb.calls.acme.other", b"0\n0")
    await bus.client.publish("cb.calls.acme.start", b'{"a": 1}\n{"a": 2}')
    assert await anext(stream) == b'data: {"a": 1}\n\ndata: {"a": 2}\n\n'
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator


class _Caller:
    """May see the calls of one playbook."""

    def sees(self, playbook: str) -> bool:
        return playbook == "start"


async def test_a_quiet_stream_says_that_it_is_alive(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "HEARTBEAT_SECONDS", 0.05)
    stream = pieces(Tails(bus).tail(SUBJECT))
    await anext(stream)
    assert await anext(stream) == b": still here\n\n"
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_a_slow_reader_loses_the_oldest_and_is_told(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "BACKLOG", 3)
    seen: list[bytes] = []

    def read(message: Msg) -> list[bytes]:
        lines = record_lines(message.data)
        seen.extend(lines)
        return lines

    stream = pieces(Tails(bus).tail(SUBJECT, read))
    await anext(stream)
    for message in (b"0", b"1", b"2\n3\n4\n5", b"6"):
        await bus.client.publish("cb.calls.acme.start", message)
    await eventually(lambda: len(seen) == 7)
    assert await anext(stream) == b": 4 dropped, the reader is too slow\n\ndata: 4\n\ndata: 5\n\ndata: 6\n\n"
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator
