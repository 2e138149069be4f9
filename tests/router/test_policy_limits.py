"""Limits over several routers on a real NATS: together never more than allowed, and nearly all of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import msgspec
import nats
import pytest
import pytest_asyncio
from hypothesis import given as each
from hypothesis import strategies as st

from callboard.contracts import subjects
from callboard.contracts.calls import MODERN, RESULT, RpcHead, frame, unframe_reply
from callboard.contracts.definitions import PlaybookContent, PlaybookDefinition, StoredPrompt
from callboard.contracts.events import Event, PlaybookPublished
from callboard.contracts.policy_definitions import LimitRule, PolicyDefinition
from callboard.contracts.policy_events import PolicySet
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard.platform.settings import CommonSettings
from callboard_projections.relay.keep_streams import StreamsKeeper
from callboard_router.app import Router
from callboard_router.policies.counters import Counters, Wanted
from callboard_router.policies.limits import CompiledLimit, Share
from callboard_router.settings import RouterSettings
from tests.projections.stack import Log
from tests.support.backends import Bus as TrustedBus
from tests.support.backends import nats_server
from tests.support.waiting import PATIENCE, eventually

QUIET: dict[str, Any] = {"reconnect_time_wait": 0.1, "max_reconnect_attempts": -1}
HEAD = RpcHead("c", "tools/call", MODERN, "ann", "key-1", 0, 0, member="m1", address="10.0.0.1")


class Place:
    """A NATS with the counters, and rooms that connect to it with their own rights."""

    keeper: StreamsKeeper

    def __init__(self, server: Any, directory: Path, leaving: AsyncExitStack) -> None:
        self.server = server
        self.trusted = TrustedBus(server.url, server.trust)
        self._directory = directory
        self._leaving = leaving

    async def bus(self, room: str, name: str) -> Bus:
        creds = self.trusted.credentials(room, self._directory)
        bus = Bus(room, name, CommonSettings(nats_url=self.trusted.url, nats_credentials=creds))
        await bus.connect()
        self._leaving.push_async_callback(bus.close)
        return bus

    async def comes_back(self) -> None:
        """The server, and what it kept in memory, empty."""
        self.server.start()
        self.server.wait_ready()
        await self.keeper.ensure_within(15.0)

    async def counters(self, count: int) -> list[Counters]:
        return [Counters(await self.bus("router", f"router-{number}")) for number in range(count)]


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with nats_server(tmp_path) as server:
        async with AsyncExitStack() as leaving:
            found = Place(server, tmp_path, leaving)
            client = await nats.connect(server.url, user_credentials=found.trusted.everything(tmp_path), **QUIET)
            leaving.push_async_callback(client.close)
            found.keeper = StreamsKeeper(client.jetstream(), 1024 * 1024, 1)
            await found.keeper.ensure()
            yield found


def wanted(calls: int, every: Any = "day", counter: str = "one") -> list[Wanted]:
    limit = CompiledLimit("acme", "p", 0, LimitRule(calls=calls, every=every))
    return [Wanted(limit, counter)]


async def tries(counters: Counters, limits: list[Wanted], times: int) -> Counter[str]:
    """How often a call was let through, or why not; several wait for the same lease at once."""
    told: Counter[str] = Counter()

    async def caller() -> None:
        for _ in range(times // 10):
            try:
                await counters.take(limits)
                told["through"] += 1
            except Problem as problem:
                told[problem.code] += 1

    await asyncio.gather(*(caller() for _ in range(10)))
    return told


@pytest.mark.parametrize(("limit", "count"), [(1, 2), (30, 2), (400, 2), (5000, 3)])
async def test_routers_let_through_together_what_is_allowed_and_nothing_more(
    place: Place, limit: int, count: int
) -> None:
    routers = await place.counters(count)
    told = await asyncio.gather(*(tries(router, wanted(limit), limit + 50) for router in routers))
    through = sum(one["through"] for one in told)
    assert limit * 0.95 <= through <= limit
    assert sum(one["limit.exceeded"] for one in told) == sum(one.total() for one in told) - through


async def test_what_a_quiet_router_holds_back_is_little(place: Place) -> None:
    quiet, busy = await place.counters(2)
    assert (await tries(quiet, wanted(1000), 10))["through"] == 10
    through = (await tries(busy, wanted(1000), 1500))["through"]
    assert 950 <= 10 + through <= 1000


async def test_a_call_over_one_of_several_limits_is_taken_from_none(place: Place) -> None:
    (counters,) = await place.counters(1)
    both = [*wanted(3, counter="narrow"), *wanted(100, counter="wide")]
    assert (await tries(counters, both, 20)) == {"through": 3, "limit.exceeded": 17}
    assert (await tries(counters, both[1:], 200))["through"] == 97


async def test_few_messages_are_sent_for_many_calls(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (counters,) = await place.counters(1)
    asked = []
    ask = counters._bus.client.request
    monkeypatch.setattr(counters._bus.client, "request", lambda *a, **k: (asked.append(a), ask(*a, **k))[1])
    assert (await tries(counters, wanted(10_000), 5_000))["through"] == 5_000
    assert len(asked) <= 25
    assert (await tries(counters, wanted(10, counter="few"), 1_000))["through"] == 10
    assert len(asked) <= 25 + 11, "who knows that nothing is left does not ask again"


async def test_without_the_allocator_what_was_leased_is_spent_and_then_nothing_is_let_through(place: Place) -> None:
    (counters,) = await place.counters(1)
    await counters.take(wanted(400))
    place.server.kill()
    told = await tries(counters, wanted(400), 100)
    assert told == {"through": 9, "limit.uncounted": 91}, "a fortieth of the limit was leased"
    with pytest.raises(Problem) as refusal:
        await counters.take(wanted(400, counter="another"))
    assert refusal.value.data["retry_after"] == 1
    await place.comes_back()

    async def again() -> bool:
        return (await tries(counters, wanted(400, counter="other"), 10))["through"] > 0

    await eventually(again)


class _Allocator:
    """A bus whose counters answer after a few turns of the loop, each question after another number of them."""

    def __init__(self) -> None:
        self.client = self
        self.totals: Counter[str] = Counter()
        self.asked = 0

    async def request(self, subject: str, _payload: bytes, *, headers: dict[str, str], **_: Any) -> Any:
        self.asked += 1
        for _turn in range(self.asked % 7):
            await asyncio.sleep(0)
        self.totals[subject] += int(headers["Nats-Incr"])
        return SimpleNamespace(data=b'{"val":"%d"}' % self.totals[subject])


@pytest.mark.timeout(20)  # it hung for ever
async def test_who_finds_a_lease_that_has_just_ended_asks_for_another() -> None:
    counters = Counters(_Allocator())  # type: ignore[arg-type]  # as much of a bus as it needs
    limits = [wanted(300, counter=name)[0] for name in ("a", "b", "c")]
    told: Counter[str] = Counter()

    async def caller(number: int) -> None:
        for turn in range(20):
            try:
                await counters.take([limits[(number + turn) % 3], limits[(number + turn + 1) % 3]])
                told["through"] += 1
            except Problem as problem:
                told[problem.code] += 1

    await asyncio.gather(*(caller(number) for number in range(40)))
    assert told.total() == 800
    assert 430 <= told["through"] <= 450, "of 900 that the three limits have together, two for each call"


class Agents:
    """Two routers on one log, asked by two edges: nobody says which router answers."""

    def __init__(self, log: Log, routers: list[Router], edges: list[Bus]) -> None:
        self.log = log
        self._routers = routers
        self._edges = edges

    async def append(self, event: Event) -> None:
        """Into the log, and both routers go by it: an answer says nothing of the other one."""
        seq = (await self.log.append("acme", event)).last_seq

        def known(router: Router) -> bool:
            return router._follower is not None and router._follower.position("acme") >= seq

        await eventually(lambda: all(map(known, self._routers)))

    async def get(self, edge: int, **caller: str) -> tuple[str, Any]:
        now = time.time_ns() // 1000
        head = RpcHead("c", "prompts/get", MODERN, caller.pop("client", "ann"), caller.pop("key", "k"),
                       now // 1000 + int(PATIENCE * 1000), now, **caller)  # fmt: skip
        payload = frame(head, b'{"name":"one"}')
        answer = await self._edges[edge].client.request(subjects.rpc("acme", "p"), payload, timeout=PATIENCE)
        reply, body = unframe_reply(answer.data)
        return ("ok" if reply.kind == RESULT else reply.problem), msgspec.json.decode(body)

    async def many(self, times: int, **caller: str) -> Counter[str]:
        """From both edges, a dozen at a time."""
        told: Counter[str] = Counter()

        async def caller_at(edge: int) -> None:
            for _ in range(times // 24):
                told[(await self.get(edge, **caller))[0]] += 1

        await asyncio.gather(*(caller_at(number % 2) for number in range(24)))
        return told


@pytest_asyncio.fixture
async def agents(place: Place, tmp_path: Path, dsn: str) -> AsyncIterator[Agents]:
    async with AsyncExitStack() as leaving:
        pool = await leaving.enter_async_context(asyncpg.create_pool(dsn, min_size=1, max_size=2))
        creds = place.trusted.credentials("router", tmp_path)
        settings = RouterSettings(nats_url=place.trusted.url, nats_credentials=creds, database_url=dsn)
        routers = [Router(settings, name) for name in ("router-a", "router-b")]
        for router in routers:
            await router.start()
            leaving.push_async_callback(router.stop)
        yield Agents(Log(pool), routers, [await place.bus("edge", name) for name in ("edge-a", "edge-b")])


async def test_two_routers_behind_two_edges_keep_a_limit_together_and_say_when_to_come_again(agents: Agents) -> None:
    await agents.log.create("acme")
    definition = PlaybookDefinition(prompts={"one": StoredPrompt(template="hi")})
    content = PlaybookContent(definition=definition)
    await agents.append(PlaybookPublished(playbook="p", version=1, content=content, content_digest="1"))
    rules = (
        LimitRule(calls=240, every="day", per=("key",)),
        LimitRule(calls=48, every="hour", per=("address",)),
    )
    await agents.append(PolicySet(policy="slow", definition=PolicyDefinition(limits=rules[:1])))

    told = await agents.many(480)
    assert told.total() == 480
    assert 228 <= told["ok"] <= 240
    assert told["limit.exceeded"] == 480 - told["ok"]
    assert (await agents.many(24, key="other"))["ok"] == 24, "others are counted by themselves"
    _, error = await agents.get(0)
    assert error["code"] == -32003
    assert 0 < error["data"]["retry_after"] <= 86_400
    assert error["data"]["policy"] == "slow"

    await agents.append(PolicySet(policy="near", definition=PolicyDefinition(limits=rules[1:])))

    keys = itertools.count()

    async def counted() -> bool:
        return (await agents.many(96, key=f"k{next(keys)}", address="10.0.0.9"))["limit.exceeded"] > 0

    await eventually(counted)
    assert (await agents.get(0, key="fresh", address="10.0.0.9"))[0] == "limit.exceeded"
    assert (await agents.get(0, key="fresh", address="10.0.0.8"))[0] == "ok"


@pytest.mark.parametrize(
    ("per", "same", "other"),
    [
        (("key",), {"member": "m2"}, {"principal": "key-2"}),
        (("person",), {"principal": "key-2"}, {"member": "m2"}),
        (("organisation",), {"principal": "key-2", "member": "m2", "address": "10.0.0.2"}, {}),
        (("address",), {"principal": "key-2"}, {"address": "10.0.0.2"}),
        (("key", "address"), {"member": "m2"}, {"address": "10.0.0.2"}),
    ],
)
def test_a_limit_counts_for_each_of_what_it_names(per: Any, same: Any, other: Any) -> None:
    limit = CompiledLimit("acme", "p", 0, LimitRule(calls=1, every="day", per=per))
    counter = limit.counter(HEAD, "git", "log")
    assert limit.counter(msgspec.structs.replace(HEAD, **same), "git", "log") == counter
    if other:
        assert limit.counter(msgspec.structs.replace(HEAD, **other), "git", "log") != counter


def test_a_limit_of_tools_counts_those_and_for_each_by_itself_where_it_says_so() -> None:
    some = CompiledLimit("acme", "p", 0, LimitRule(calls=1, every="day", per=("tool",), tools=("git/l*",)))
    assert some.counter(HEAD, "git", "log") != some.counter(HEAD, "git", "last")
    assert some.counter(HEAD, "git", "reset") is None
    assert some.counter(HEAD, "git", "") is None, "a prompt is no tool"
    nobody = msgspec.structs.replace(HEAD, member="")
    person = CompiledLimit("acme", "p", 0, LimitRule(calls=1, every="day", per=("person",)))
    assert person.counter(nobody, "git", "log") != person.counter(HEAD, "git", "log")


def leased(limit: int, order: list[int]) -> int:
    """How many calls four routers may let through that ask for shares in this order."""
    total, shares = 0, [Share(limit, 0.0) for _ in range(4)]
    for number in order:
        asked = shares[number].wanted
        assert asked >= 1
        total += asked
        shares[number].take_in(asked, total)
    granted = sum(share.granted for share in shares)
    assert granted == min(total, limit)
    return granted


@each(st.integers(1, 5000), st.lists(st.integers(0, 3), max_size=200))
def test_whatever_the_order_of_leases_no_more_than_the_limit_is_granted(limit: int, order: list[int]) -> None:
    assert leased(limit, order) <= limit


def test_a_router_that_takes_what_it_asked_for_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(share: Share, asked: int, total: int) -> None:
        share.granted += asked

    monkeypatch.setattr(Share, "take_in", greedy)
    with pytest.raises(AssertionError):
        leased(10, [0, 1] * 10)
