"""What was published and subscribed is known to the server, and whoever stops waiting for that stops nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.platform import bus as bus_module
from callboard.platform.bus import Bus
from callboard.platform.settings import CommonSettings
from tests.support.backends import Bus as TrustedBus
from tests.support.backends import nats_server
from tests.support.waiting import PATIENCE, eventually


class Place:
    """A NATS that can be killed, and an edge on it that hears what connectors say."""

    def __init__(self, server: Any, edge: Bus, connectors: Bus) -> None:
        self.server = server
        self.edge = edge
        self.connectors = connectors
        self.heard: list[str] = []

    async def hears(self) -> None:
        """Without another connection: this one is read."""
        before, losses = len(self.heard), self.edge.client.stats["reconnects"]
        await self.connectors.publish(f"{subjects.UPDATED}.acme.up", b"x")
        await eventually(lambda: len(self.heard) > before)
        assert self.edge.client.stats["reconnects"] == losses

    async def on_update(self, message: Msg) -> None:
        self.heard.append(message.subject)


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with nats_server(tmp_path) as server:
        trusted = TrustedBus(server.url, server.trust)
        rooms = []
        for room in ("edge", "connectors"):
            creds = trusted.credentials(room, tmp_path)
            rooms.append(Bus(room, f"{room}-1", CommonSettings(nats_url=server.url, nats_credentials=creds)))
            await rooms[-1].connect()
        found = Place(server, *rooms)
        await found.edge.listen(f"{subjects.UPDATED}.>", found.on_update)
        assert await found.edge.settled()
        try:
            yield found
        finally:
            for room in rooms:
                await room.close()


async def test_an_answer_that_comes_when_nobody_waits_for_it_any_more_is_read_like_any_other(place: Place) -> None:
    for _ in range(20):
        leaving = asyncio.create_task(place.edge.settled())
        await asyncio.sleep(0)
        leaving.cancel()
    await place.hears()


async def test_an_answer_that_takes_too_long_is_read_like_any_other(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "_FLUSH_SECONDS", 0.0)
    for _ in range(20):
        assert await place.edge.settled() is False
    await place.hears()


async def test_nothing_settles_without_a_server_and_nobody_waits_for_that(place: Place) -> None:
    assert await place.edge.settled()
    waiting = [asyncio.create_task(place.edge.settled()) for _ in range(3)]
    place.server.kill()
    await eventually(lambda: not place.edge.connected)
    assert await place.edge.settled() is False
    await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)
    place.server.start()
    place.server.wait_ready()
    await eventually(place.edge.settled)
    assert not place.edge._flushing
