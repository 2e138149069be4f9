"""Two that fit into a plan each, and not together: of several routers at once one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from callboard.contracts.definitions import ServerDefinition
from callboard.contracts.events import EventMeta, OrganisationCreated, Recorded, ServerRegistered
from callboard.contracts.people_events import OrganisationPlanChosen
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.platform.event_store import EventStore, Write, new_id
from callboard.platform.log_follower import LogFollower
from callboard_router import decisions
from callboard_router.decisions import Decisions
from callboard_router.state import RouterState
from tests.support.waiting import PATIENCE


class Together(EventStore):
    """Of two routers: the first append of each waits until both have decided."""

    def __init__(self, pool: asyncpg.Pool, barrier: asyncio.Barrier | None = None) -> None:
        super().__init__(pool, nobody_listens)
        self.barrier = barrier
        self.appends = 0

    async def append(self, *args: Any, **more: Any) -> Any:
        self.appends += 1
        barrier, self.barrier = self.barrier, None
        if barrier is not None:
            async with asyncio.timeout(PATIENCE):
                await barrier.wait()
        return await super().append(*args, **more)


class Router:
    """As much of one as decides."""

    def __init__(self, pool: asyncpg.Pool, barrier: asyncio.Barrier) -> None:
        self.state = RouterState()
        self.store = Together(pool, barrier)

        async def apply(batch: Sequence[Recorded]) -> None:
            self.state.apply(list(batch))

        self.decisions = Decisions(self.store, LogFollower(self.store, apply), self.state, "router/test")

    async def register(self, name: str) -> str:
        event = ServerRegistered(server=name, definition=ServerDefinition(url=f"http://127.0.0.1:1/{name}"))
        command, request = new_id(), Done(seq=0)
        try:
            await self.decisions.commit("acme", command, request, "a", "w", lambda _: {f"server-{name}": (event,)})
        except Problem as problem:
            return problem.code
        return "registered"


async def nobody_listens(organisation: str, seq: int) -> None:
    """No room follows."""


@pytest_asyncio.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(dsn, min_size=2, max_size=6) as opened:
        yield opened


async def both(pool: asyncpg.Pool, servers: int | None) -> tuple[list[str], int]:
    """What two routers answer that register a server each at the same moment, and the appends that took."""
    chosen = OrganisationPlanChosen(
        organisation="acme", plan="free", playbooks=None, servers=servers, calls_per_day=None
    )
    store = EventStore(pool, nobody_listens)
    begun = Write("organisation-acme", (OrganisationCreated(organisation="acme"), chosen))
    await store.append("acme", new_id(), Done(seq=0), EventMeta(actor="t"), [begun])
    barrier = asyncio.Barrier(2)
    routers = [Router(pool, barrier) for _ in range(2)]
    answers = await asyncio.gather(*(router.register(f"s{number}") for number, router in enumerate(routers)))
    return sorted(answers), sum(router.store.appends for router in routers)


async def test_of_two_that_are_one_too_many_together_one_is_refused(pool: asyncpg.Pool) -> None:
    answers, _ = await both(pool, 1)
    assert answers == ["quota.exceeded", "registered"]


async def test_two_that_fit_are_both_taken(pool: asyncpg.Pool) -> None:
    answers, appends = await both(pool, 2)
    assert answers == ["registered", "registered"]
    assert appends == 3, "one of them decided again, on what the other had left"


async def test_without_a_limit_neither_waits_for_the_other(pool: asyncpg.Pool) -> None:
    answers, appends = await both(pool, None)
    assert answers == ["registered", "registered"]
    assert appends == 2


async def test_a_decision_that_does_not_stand_on_the_whole_log_would_take_one_too_many(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the test above sees the fault."""
    honest = decisions.check_quotas

    def blind(*args: Any) -> bool:
        honest(*args)
        return False

    monkeypatch.setattr(decisions, "check_quotas", blind)
    answers, _ = await both(pool, 1)
    assert answers == ["registered", "registered"]
