"""Takes calls from limits. Shares of a window are leased from counters in JetStream, so a call waits for none of it
but where a share has just run out.

A counter is a subject of a counter stream (NATS ADR-49): each lease is one message, and its answer is the new total,
so what all routers are granted is never more than the limit. While JetStream is away, what is leased goes on being
spent; then calls of callers with limits are refused (`limit.uncounted`), because nobody knows who has had how many.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import nats.errors
import structlog

from callboard.contracts import policy_subjects
from callboard.contracts.calls import RpcHead
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_router.calls.resolve import Answer, Target
from callboard_router.catalogue.compiled import CompiledPlaybook, Limiting
from callboard_router.policies.limits import COUNTED, SHORT_SECONDS, Share, counter_token

log = structlog.get_logger()
_WITHIN: Final = 1.0
_BREATHER: Final = 0.5
"""Seconds for which nobody asks again after a question was not answered."""
_SWEEP_AT: Final = 20_000


class _Total(msgspec.Struct):
    val: str = ""


_total = msgspec.json.Decoder(_Total).decode


class Wanted(NamedTuple):
    """One limit that a call is taken from, and the name of its counter."""

    limit: Limiting
    counter: str


def limited(playbook: CompiledPlaybook, head: RpcHead, outcome: Answer | Target) -> list[Wanted]:
    """The limits that a request is taken from; a call that is refused anyway is free."""
    if head.method not in COUNTED or (isinstance(outcome, Answer) and outcome.refused):
        return []
    tool = outcome.upstream_name if isinstance(outcome, Target) and head.method == "tools/call" else ""
    named = ((limit, limit.counter(head, outcome.server, tool)) for limit in playbook.limits_of_calls)
    return [Wanted(limit, counter) for limit, counter in named if counter is not None]


class Counters:
    """The shares of this router."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._shares: dict[tuple[str, int], Share] = {}
        self._leasing: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._away_until = 0.0

    def take_now(self, wanted: Sequence[Wanted]) -> bool:
        """Take one call from each without waiting; False where a lease is wanted first. Raises `limit.exceeded`."""
        now = time.time()
        shares = [self._share(one, now) for one in wanted]
        for one, share in zip(wanted, shares, strict=True):
            if share.used_up:
                raise _exceeded(one.limit, share.retry_after(now))
        if any(share.granted <= 0 for share in shares):
            return False
        for share in shares:
            share.granted -= 1
        return True

    async def take(self, wanted: Sequence[Wanted]) -> None:
        """The same, with as many leases as it takes. Raises `limit.uncounted` while nobody can count."""
        while not self.take_now(wanted):
            now = time.time()
            for one in wanted:
                if self._share(one, now).granted <= 0:
                    await self._lease(one, now)

    def _share(self, wanted: Wanted, now: float) -> Share:
        window = int(now // wanted.limit.seconds)
        key = (wanted.counter, window)
        share = self._shares.get(key)
        if share is None:
            if len(self._shares) >= _SWEEP_AT:
                self._shares = {key: share for key, share in self._shares.items() if share.end > now}
            share = self._shares[key] = Share(wanted.limit.calls, (window + 1) * wanted.limit.seconds)
        return share

    async def _lease(self, wanted: Wanted, now: float) -> None:
        """One question for all that wait."""
        key = (wanted.counter, int(now // wanted.limit.seconds))
        task = self._leasing.get(key)
        if task is None:
            if now < self._away_until:
                raise _uncounted()
            task = self._leasing[key] = asyncio.create_task(self._ask(wanted, key))
        # Who waits may be cancelled; the others go on waiting.
        await asyncio.shield(task)

    async def _ask(self, wanted: Wanted, key: tuple[str, int]) -> None:
        try:
            await self._ask_for_share(wanted, key)
        finally:
            # Here and not in a callback of the task: to wait for a task that has ended lets nobody else run, so who
            # still found it would go on finding it for ever.
            del self._leasing[key]

    async def _ask_for_share(self, wanted: Wanted, key: tuple[str, int]) -> None:
        share = self._shares.setdefault(key, Share(wanted.limit.calls, (key[1] + 1) * wanted.limit.seconds))
        asked = share.wanted
        kept = "short" if wanted.limit.seconds <= SHORT_SECONDS else "long"
        subject = policy_subjects.limit(kept, f"{key[1]}.{counter_token(wanted.counter)}")
        try:
            answer = await self._bus.client.request(subject, b"", timeout=_WITHIN, headers={"Nats-Incr": f"+{asked}"})
            total = int(_total(answer.data).val)
        except (nats.errors.Error, OSError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            self._away_until = time.time() + _BREATHER
            log.warning("limit_not_leased", reason=type(error).__name__)
            raise _uncounted() from None
        share.take_in(asked, total)


def _exceeded(limit: Limiting, retry_after: int) -> Problem:
    text = f"{limit}; wait {retry_after} s"
    return Problem("limit.exceeded", text, policy=limit.policy, retry_after=retry_after)


def _uncounted() -> Problem:
    return Problem("limit.uncounted", "what counts calls is away; the call was not sent", retry_after=1)
