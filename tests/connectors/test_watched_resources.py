"""Who watches a resource is told so when the server has been told, and hears every change after that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.playbooks import ResourcesWatched, ResourceUpdated, WatchResources
from callboard.platform.room import cancel_all
from callboard_connectors.discovery import keep
from callboard_connectors.discovery.discover import Discovery
from callboard_connectors.discovery.interest import MAX_URIS, Interest
from callboard_connectors.discovery.keep import Keeper, Recorder
from callboard_connectors.sessions.session import Session, Watcher
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
    """A session with a server that takes its time: forever, unless it `goes_on`; `prompt` ones subscribe at once."""

    def __init__(self, *, modern: bool, prompt: bool = False) -> None:
        self.opening = SimpleNamespace(modern=modern)
        self.asked: list[tuple[str, object]] = []
        self.listening: list[frozenset[str]] = []
        self.goes_on = asyncio.Event()
        self._prompt = prompt

    async def ask(self, method: str, params: dict[str, object], within: float) -> bytes:
        self.asked.append((method, params["uri"]))
        if not self._prompt:
            await self.goes_on.wait()
        return b"{}"

    async def listen(self, watcher: Watcher, uris: frozenset[str]) -> bool:
        self.listening.append(uris)
        await self.goes_on.wait()
        watcher.opened()
        await asyncio.Event().wait()
        return True


class Kept:
    """The keeper of such a server, and how often it was heard by whoever asked."""

    def __init__(self, server: Server) -> None:
        self.looked = asyncio.Event()
        self.heard = 0
        self.interest = Interest()
        upstream: Any = SimpleNamespace(
            live=server, key="acme.every", session=self._session, moved=asyncio.Event(), pause=lambda: 60.0
        )
        self.keeper = Keeper(cast("Upstream", upstream), cast("Recorder", None), 60.0, self.interest)
        self.keeper._discovery = cast("Discovery", SimpleNamespace(look=self._look))
        self._server = server

    async def _session(self) -> Server:
        return self._server

    async def _look(self, _session: object) -> None:
        self.looked.set()
        await asyncio.Event().wait()

    async def _heard(self) -> None:
        self.heard += 1

    def watch(self, *uris: str) -> None:
        self.interest.name(uris, asyncio.get_running_loop().time())
        self.keeper.watch(self._heard)

    async def end(self) -> None:
        await cancel_all(self.keeper._watching, self.keeper._listening)


@asynccontextmanager
async def kept(server: Server) -> AsyncIterator[Kept]:
    one = Kept(server)
    try:
        yield one
    finally:
        await one.end()


@pytest.mark.parametrize("modern", [True, False])
async def test_nobody_is_told_before_the_server_was_also_not_who_comes_second(modern: bool) -> None:
    server = Server(modern=modern)
    async with kept(server) as one:
        one.watch(WATCHED)
        one.watch(WATCHED)
        await eventually(lambda: len(server.listening) == 1 and (modern or server.asked))
        one.watch(WATCHED)
        assert one.heard == 0
        server.goes_on.set()
        await eventually(lambda: one.heard == 3)
    assert len(server.listening) == 1, "it is told once"
    assert server.asked == ([] if modern else [("resources/subscribe", WATCHED)])


@pytest.mark.parametrize("modern", [True, False])
async def test_a_server_that_takes_forever_over_subscriptions_is_looked_at_all_the_same(
    modern: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "_WATCH_SECONDS", 3600.0)
    monkeypatch.setattr(keep, "_OPEN_SECONDS", 0.01)
    server = Server(modern=modern)
    async with kept(server) as one:
        one.watch(WATCHED)
        await eventually(lambda: server.listening and (modern or server.asked))
        running = asyncio.create_task(one.keeper.run())
        await asyncio.wait_for(one.looked.wait(), PATIENCE)
        await cancel_all(running)


async def test_however_many_watch_one_task_answers_them_and_the_server_is_told_what_it_has_come_to() -> None:
    server = Server(modern=True)
    async with kept(server) as one:
        one.watch("a://0")
        await eventually(lambda: server.listening)
        before = len(asyncio.all_tasks())
        for number in range(1, 200):
            one.watch(f"a://{number}")
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == before
        server.goes_on.set()
        await eventually(lambda: one.heard == 200)
    assert [len(uris) for uris in server.listening] == [1, 200]


async def test_who_asked_long_ago_is_let_go_of_when_too_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(modern=False)
    async with kept(server) as one:
        one.watch(WATCHED)
        await eventually(lambda: server.asked)
        for _ in range(keep._MAX_ASKING + 500):
            one.watch(WATCHED)
        server.goes_on.set()
        await eventually(lambda: one.heard == 1 + keep._MAX_ASKING)


@pytest.mark.parametrize("modern", [True, False])
async def test_a_stream_that_was_awaited_in_vain_is_not_awaited_again_until_it_opens(
    modern: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "_WATCH_SECONDS", 0.05)
    server = Server(modern=modern, prompt=True)
    async with kept(server) as one:
        one.watch("a://1")
        await eventually(lambda: one.heard == 1)
        monkeypatch.setattr(keep, "_WATCH_SECONDS", 3600.0)
        one.watch("a://2")
        await eventually(lambda: one.heard == 2)
        one.keeper.opened()
        one.keeper._open.clear()
        one.watch("a://3")
        await eventually(lambda: "a://3" in one.keeper._subscribed)
        assert one.heard == 2
        server.goes_on.set()
        one.keeper.opened()
        await eventually(lambda: one.heard == 3)


async def test_many_subscriptions_are_told_in_turns_and_answered_when_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "_TURN_SECONDS", 0.0)
    server = Server(modern=False, prompt=True)
    server.goes_on.set()
    turns = 0
    async with kept(server) as one:
        tell = one.keeper._tell

        async def counted(session: Session) -> bool:
            nonlocal turns
            turns += 1
            assert one.heard == 0
            return await tell(session)

        monkeypatch.setattr(one.keeper, "_tell", counted)
        one.watch("", "a://1", "a://2")
        await eventually(lambda: one.heard == 1)
    assert (turns, sorted(server.asked)) == (3, [("resources/subscribe", uri) for uri in ("", "a://1", "a://2")])


async def test_only_what_changed_is_told() -> None:
    server = Server(modern=False, prompt=True)
    server.goes_on.set()
    async with kept(server) as one:
        one.watch("a://1", "a://2")
        await eventually(lambda: one.heard == 1)
        server.asked.clear()
        one.interest.name(["a://1"], asyncio.get_running_loop().time() - 3600)
        one.watch("a://3")
        await eventually(lambda: one.heard == 2)
    assert server.asked == [("resources/subscribe", "a://3"), ("resources/unsubscribe", "a://1")]


def test_when_too_much_of_a_server_is_watched_the_oldest_go_and_it_is_said_once() -> None:
    interest = Interest()
    assert not interest.name([f"a://{number}" for number in range(MAX_URIS)], 1.0)
    assert not interest.name(["a://0"], 2.0)
    assert interest.name(["b://1", "b://2"], 3.0)
    assert not interest.name(["b://3"], 4.0)
    current = interest.current(5.0)
    assert len(current) == MAX_URIS
    assert {"a://0", "b://1", "b://2", "b://3", "a://4"} <= current
    assert not {"a://1", "a://2", "a://3"} & current
