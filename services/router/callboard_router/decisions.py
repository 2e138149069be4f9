"""From a decision to the log: read the state, decide, append with expected versions, once more when it moved."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

import msgspec

from callboard.contracts.events import Event, EventMeta, Recorded
from callboard.contracts.layers import SYSTEM
from callboard.contracts.problems import Problem
from callboard.platform.event_store import EventStore, StreamMoved, Write
from callboard.platform.log_follower import LogFollower
from callboard_router.playbooks.drift_found import with_drift
from callboard_router.quotas.domain import check_quotas
from callboard_router.state import Organisation, RouterState

ATTEMPTS = 8
Writes = Mapping[str, Sequence[Event]]


class Decisions:
    """Makes decisions durable. What is acknowledged is in the log, and this instance already serves it."""

    def __init__(self, store: EventStore, follower: LogFollower, state: RouterState, producer: str) -> None:
        self._store = store
        self._follower = follower
        self._state = state
        self._producer = producer
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def current(self, organisation: str) -> Organisation:
        """The organisation as of now."""
        await self._follower.catch_up(organisation)
        return self._state.organisation(organisation)

    async def current_system(self) -> None:
        """What belongs to the installation, as of now: for decisions that stand on its layer."""
        await self._follower.catch_up(SYSTEM)

    async def seen(self, organisation: str, command_id: str, request: msgspec.Struct) -> list[Recorded] | None:
        """The events of a command that took effect before."""
        return await self._store.seen(organisation, command_id, request)

    async def commit(
        self,
        organisation: str,
        command_id: str,
        request: msgspec.Struct,
        actor: str,
        comment: str,
        decide: Callable[[Organisation], Writes],
        *,
        remember: bool = True,
    ) -> int:
        """Decide against the newest state and append; returns the log position (0: nothing to do).

        `remember`: a command that changes nothing is remembered too, so that its repeat changes nothing either.
        """
        meta = EventMeta(actor=actor, comment=comment, correlation=command_id, producer=self._producer)
        for attempt in range(ATTEMPTS):
            # Who lost once waits for its turn: of many that decide about one playbook at once (their servers changed
            # together) each is then disturbed by the other routers only.
            async with self._turns[organisation] if attempt else nullcontext():
                state = await self.current(organisation)
                position = self._follower.position(organisation)
                decided = decide(state)
                # Two that each fit into the plan may be too much together, and they touch no stream in common.
                at = position if check_quotas(state, decided) else None
                writes = [
                    Write(stream, tuple(events), state.streams.get(stream, 0))
                    for stream, events in with_drift(state, decided).items()
                    if events
                ]
                if not writes and not remember:
                    return 0
                try:
                    appended = await self._store.append(organisation, command_id, request, meta, writes, at=at)
                except StreamMoved:
                    continue
                await self._follower.catch_up(organisation)
                return appended.last_seq if writes else 0
        raise Problem("playbook.revision_stale", "others change the same things at the same time; try again")
