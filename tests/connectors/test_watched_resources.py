"""Who watches a resource is told so when the server has been told, and hears every change after that."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.playbooks import ResourcesWatched, ResourceUpdated, WatchResources
from callboard_connectors.discovery.interest import Interest
from callboard_connectors.discovery.keep import Keeper, Recorder
from callboard_connectors.sessions.session import Watcher
from callboard_connectors.sessions.upstream import Upstream
from tests.connectors.rig import ORG, Rig
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually

WATCHED = "test://watched-resource"


@pytest.mark.parametrize("era", ["2025", "2026"])
async def test_what_changes_after_the_answer_is_told(rig: Rig, era: str) -> None:
    heard: list[str] = []

    async def on_update(message: Msg) -> None:
        heard.append(msgspec.json.decode(message.data, type=ResourceUpdated).uri)

    await rig.client.subscribe(f"{subjects.UPDATED}.>", cb=on_update)
    async with running("everything", "--era", era) as upstream:
        await rig.register("every", url=upstream.url)
        await rig.room()
        await rig.room()
        await rig.online("every")
        wanted = msgspec.json.encode(WatchResources(organisation=ORG, server="every", uris=(WATCHED,)))
        answer = await rig.client.request(subjects.watch(ORG, "every"), wanted, timeout=PATIENCE)
        msgspec.json.decode(answer.data, type=ResourcesWatched)
        assert (await rig.call("every", "test_trigger_resource_change")).result
        await eventually(lambda: heard == [WATCHED])


class Server:
    """A session with a server that takes its time."""

    def __init__(self, *, modern: bool) -> None:
        self.opening = SimpleNamespace(modern=modern)
        self.asked: list[dict[str, object]] = []
        self.listening: list[frozenset[str]] = []
        self.goes_on = asyncio.Event()

    async def ask(self, method: str, params: dict[str, object], within: float) -> bytes:
        self.asked.append(params)
        await self.goes_on.wait()
        return b"{}"

    async def listen(self, watcher: Watcher, uris: frozenset[str]) -> bool:
        self.listening.append(uris)
        await self.goes_on.wait()
        watcher.opened()
        await asyncio.Event().wait()
        return True


@pytest.mark.parametrize("modern", [True, False])
async def test_nobody_is_told_before_the_server_was_also_not_who_comes_second(modern: bool) -> None:
    server, interest = Server(modern=modern), Interest()
    upstream: Any = SimpleNamespace(live=server, key="acme.every")
    keeper = Keeper(cast("Upstream", upstream), cast("Recorder", None), 60.0, interest)
    interest.name([WATCHED], asyncio.get_running_loop().time())
    watching = [asyncio.create_task(keeper.watch()) for _ in range(2)]
    await eventually(lambda: server.listening == [frozenset([WATCHED])])
    if not modern:
        await eventually(lambda: server.asked == [{"uri": WATCHED}])
    assert not any(task.done() for task in watching)
    server.goes_on.set()
    await asyncio.wait_for(asyncio.gather(*watching), PATIENCE)
    assert len(server.listening) == 1, "it is told once"
    assert keeper._listening is not None
    keeper._listening.cancel()
