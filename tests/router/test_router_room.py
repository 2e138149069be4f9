"""The router on a real log and a real bus: what agents were told of, every router knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from callboard.contracts import subjects
from callboard.contracts.calls import (
    MODERN,
    RESULT,
    ReplyHead,
    RpcHead,
    decode_record,
    frame,
    record_lines,
    unframe_reply,
)
from callboard.contracts.definitions import PlaybookContent, PlaybookDefinition, StoredPrompt
from callboard.contracts.events import PlaybookPublished
from callboard.contracts.playbooks import CatalogueChanged
from callboard.platform import record_bursts
from callboard.platform.bus import Bus
from callboard.platform.settings import CommonSettings
from callboard_router.app import Router
from callboard_router.settings import RouterSettings
from tests.projections.stack import Log
from tests.support.backends import Bus as TrustedBus
from tests.support.backends import nats_server
from tests.support.waiting import PATIENCE


class Rooms:
    """A router, the log it follows, and an edge's place on the bus."""

    def __init__(self, router: Router, log: Log, edge: Bus) -> None:
        self.router = router
        self.log = log
        self.edge = edge
        self.told: asyncio.Queue[CatalogueChanged] = asyncio.Queue()
        self.stopped = False

    async def hear(self, message: Any) -> None:
        self.told.put_nowait(msgspec.json.decode(message.data, type=CatalogueChanged))

    async def prompts(self, playbook: str, reached: int = 0) -> tuple[ReplyHead, list[str]]:
        now = time.time_ns() // 1000
        head = RpcHead("c", "prompts/list", MODERN, "agent", "key", now // 1000 + 10_000, now, reached=reached)
        answer = await self.edge.client.request(subjects.rpc("acme", playbook), frame(head, b"{}"), timeout=PATIENCE)
        reply, body = unframe_reply(answer.data)
        listed = msgspec.json.decode(body).get("prompts", ()) if reply.kind == RESULT else ()
        return reply, [prompt["name"] for prompt in listed]

    async def call(self, playbook: str, tool: str) -> ReplyHead:
        now = time.time_ns() // 1000
        head = RpcHead(f"call-{tool}", "tools/call", MODERN, "agent", "key", now // 1000 + 10_000, now)
        params = msgspec.json.encode({"name": tool, "arguments": {}})
        answer = await self.edge.client.request(subjects.rpc("acme", playbook), frame(head, params), timeout=PATIENCE)
        return unframe_reply(answer.data)[0]

    async def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            await self.router.stop()

    def stop_following(self) -> None:
        """As a router is that has not been told yet."""
        assert self.router._following is not None
        self.router._following.cancel()


@pytest_asyncio.fixture
async def rooms(tmp_path: Path, dsn: str) -> AsyncIterator[Rooms]:
    with nats_server(tmp_path) as server:
        nats = TrustedBus(server.url, server.trust)
        async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
            settings = RouterSettings(
                nats_url=nats.url, nats_credentials=nats.credentials("router", tmp_path), database_url=dsn
            )
            creds = nats.credentials("edge", tmp_path)
            edge = Bus("edge", "edge-1", CommonSettings(nats_url=nats.url, nats_credentials=creds))
            router = Router(settings, "router-1")
            await edge.connect()
            await router.start()
            running = Rooms(router, Log(pool), edge)
            await edge.listen(f"{subjects.CHANGED}.>", running.hear)
            try:
                yield running
            finally:
                await running.stop()
                await edge.close()


def version(number: int, *prompts: str) -> PlaybookPublished:
    definition = PlaybookDefinition(prompts={name: StoredPrompt(template="hi") for name in prompts})
    content = PlaybookContent(definition=definition)
    return PlaybookPublished(playbook="p", version=number, content=content, content_digest=f"sha256:{number}")


async def test_every_question_is_taken_once(rooms: Rooms) -> None:
    taken = [str(getattr(subscriber, "subject", "")) for subscriber in rooms.router.bus.broker.subscribers]
    assert any(subjects.CANDIDATE in one for one in taken)
    assert len(taken) == len(set(taken))


async def test_a_change_is_told_with_its_place_in_the_log(rooms: Rooms) -> None:
    await rooms.log.create("acme")
    last = (await rooms.log.append("acme", version(1, "one"))).last_seq
    told = await asyncio.wait_for(rooms.told.get(), PATIENCE)
    assert (told.version, told.seq) == (1, last)


async def test_a_router_that_was_told_later_answers_from_where_the_agents_are(rooms: Rooms) -> None:
    await rooms.log.create("acme")
    await rooms.log.append("acme", version(1, "one"))
    await asyncio.wait_for(rooms.told.get(), PATIENCE)
    rooms.stop_following()
    last = (await rooms.log.append("acme", version(2, "one", "two"))).last_seq

    assert (await rooms.prompts("p"))[1] == ["one"], "it does not know"
    assert (await rooms.prompts("p", reached=last))[1] == ["one", "two"]
    assert (await rooms.prompts("p"))[1] == ["one", "two"], "and knows from then on"


async def test_a_place_that_the_log_has_not_reached_is_answered_from_what_there_is(rooms: Rooms) -> None:
    await rooms.log.create("acme")
    await rooms.log.append("acme", version(1, "one"))
    assert (await rooms.prompts("p", reached=1_000_000))[1] == ["one"]


async def test_refusals_are_recorded_together_and_none_is_left_when_the_router_stops(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_bursts, "BURST_SECONDS", 60)
    await rooms.log.create("acme")
    await rooms.log.append("acme", version(1, "one"))
    await asyncio.wait_for(rooms.told.get(), PATIENCE)
    heard: asyncio.Queue[list[bytes]] = asyncio.Queue()

    async def hear(message: Any) -> None:
        heard.put_nowait(record_lines(message.data))

    await rooms.edge.listen(f"{subjects.RECORD}.>", hear)
    await rooms.edge.settled()
    for tool in ("a", "b"):
        assert (await rooms.call("p", tool)).problem == "tool.unknown"
    assert heard.empty()

    await rooms.stop()
    records = [decode_record(line) for line in await asyncio.wait_for(heard.get(), PATIENCE)]
    assert [(record.call_id, record.outcome) for record in records] == [("call-a", "refused"), ("call-b", "refused")]
