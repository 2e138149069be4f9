"""Send what is due: for each webhook its events in the order of the log, one at a time, until the receiver took each.

The position lies in the row of the webhook and moves after the receiver's answer: at least once, never a gap. A lease
on the row keeps several instances from sending the same; one that is lost (a process died, or was paused too long)
runs out, and another instance begins at the event that was not answered.

Many organisations share the slots of an instance: each has a few at most, and a slot is given up after a turn.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from nats.aio.msg import Msg

from callboard.contracts.events import Recorded
from callboard.contracts.webhook_events import WebhookEvent
from callboard.contracts.webhooks import WebhookMessage
from callboard.platform.event_store import Connection, new_id, published_of
from callboard.platform.postgres import UNREACHABLE
from callboard.platform.walls import confined
from callboard_authsvc.webhooks.attempt import Outcome, delivery_of, send
from callboard_authsvc.webhooks.dependencies import WebhookDependencies
from callboard_authsvc.webhooks.domain import WEBHOOK, Disable, message_id, pause_before, stream_of, wanted
from callboard_authsvc.webhooks.due import Claim, DisableNote, Target

log = structlog.get_logger()

LEASE_SECONDS: Final = 30.0
"""Longer than an attempt may take; every attempt renews it."""
_SWEEP_SECONDS = 1.0
_SHORTEST_PAUSE = 0.05
_AT_ONCE = 32
_AT_ONCE_OF_ONE = 4
"""Webhooks of one organisation, in all instances."""
_TURN = 20
_TURN_SECONDS = 10.0
_BATCH = 100
_GONE = 410


@dataclass
class _Turn:
    """How much longer a webhook keeps its slot."""

    sent: int = 0
    until: float = field(default_factory=lambda: time.monotonic() + _TURN_SECONDS)

    @property
    def over(self) -> bool:
        return self.sent >= _TURN or time.monotonic() >= self.until


class Sending:
    """`run` is its task; `hinted` wakes it."""

    def __init__(self, use: WebhookDependencies) -> None:
        self._use = use
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.disabled = 0
        """Webhooks that were given up and not resumed since, in the whole installation."""

    @property
    def problem(self) -> str:
        """For the status; it names nobody."""
        return f"webhooks that were given up: {self.disabled}; `callboard webhook ls` says why" if self.disabled else ""

    async def hinted(self, message: Msg) -> None:
        """Something was appended: look soon."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; what is under way then is sent again later."""
        try:
            while True:
                try:
                    await self._round()
                except UNREACHABLE as error:
                    log.info("webhooks_wait", reason=type(error).__name__)
                except Exception:
                    # The top of a loop that must not end: nothing would be sent any more.
                    log.exception("webhooks_not_sent")
                await asyncio.sleep(_SHORTEST_PAUSE)
                try:
                    await asyncio.wait_for(self._wake.wait(), _SWEEP_SECONDS)
                except TimeoutError:
                    self.disabled = await self._count()
                self._wake.clear()
        finally:
            for task in self._tasks:
                task.cancel()

    async def _count(self) -> int:
        try:
            return await self._use.table.disabled()
        except UNREACHABLE:
            return self.disabled

    async def _round(self) -> None:
        free = _AT_ONCE - len(self._tasks)
        claims = await self._use.table.claim(uuid.uuid4(), LEASE_SECONDS, free, _AT_ONCE_OF_ONE) if free else []
        for claim in claims:
            task = asyncio.create_task(self._serve(claim))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, claim: Claim) -> None:
        try:
            held: Claim | None = claim
            turn = _Turn()
            with confined(claim.organisation):
                while held is not None and not turn.over:
                    held = await self._some(held, turn)
                if held is not None:
                    await self._use.table.release(held)
        except UNREACHABLE as error:
            log.info("webhook_waits", reason=type(error).__name__)
        except Exception:
            log.exception("webhook_failed", webhook=f"{claim.organisation}/{claim.webhook}")
        self._wake.set()

    async def _some(self, claim: Claim, turn: _Turn) -> Claim | None:
        """Send some events; None: there is nothing more to send, the receiver refused, or the lease is lost."""
        replays, batch = claim.replays, await self._use.store.read(claim.organisation, claim.after, _BATCH)
        if replays:
            batch = [recorded for recorded in batch if recorded.seq <= claim.replay_last]
            if not batch:
                return await self._advanced(claim, claim.replay_last)
        if not batch:
            await self._use.table.release(claim)
            return None
        for recorded in batch:
            if wanted(claim.kinds, recorded.type):
                if turn.sent and turn.over:
                    return claim
                turn.sent += 1
                taken = await self._send(claim, recorded)
                if taken is None:
                    return None
                claim = taken
        last = batch[-1].seq
        # What came last may have been sent, and the replay be over with it.
        return claim if claim.after >= last or claim.replays != replays else await self._advanced(claim, last)

    async def _send(self, claim: Claim, recorded: Recorded) -> Claim | None:
        now = self._use.vault.clock()
        message = WebhookMessage(type=recorded.type, timestamp=recorded.recorded_at, data=published_of(recorded))
        target = Target(claim.organisation, claim.webhook, claim.url, claim.both)
        outcome = await send(target, message_id(claim.organisation, recorded.seq), message, now, self._use)
        await self._note(claim, recorded, now, outcome)
        if not outcome.problem:
            return await self._advanced(claim, recorded.seq)
        await self._put_off(claim, recorded, outcome)
        return None

    async def _note(self, claim: Claim, recorded: Recorded, now: datetime, outcome: Outcome) -> None:
        delivery = delivery_of(recorded.seq, recorded.type, claim.failures + 1, now, outcome)
        await self._use.table.note(claim.organisation, claim.webhook, delivery)

    async def _advanced(self, claim: Claim, seq: int) -> Claim | None:
        moved = await self._use.table.advance(claim, seq, LEASE_SECONDS)
        if moved is None:
            await self._use.table.release(claim)
        return moved

    async def _put_off(self, claim: Claim, recorded: Recorded, outcome: Outcome) -> None:
        use, chance = self._use, self._use.vault.chance(1)[0] / 255
        pause = pause_before(claim.failures + 1, use.base, outcome.asked, chance)
        failing = await use.table.put_off(claim, pause, outcome.problem)
        if failing is not None and (failing >= use.give_up or outcome.status == _GONE):
            await self._disable(claim, recorded.seq, outcome.problem)

    async def _disable(self, claim: Claim, seq: int, reason: str) -> None:
        note = DisableNote(command_id=new_id(), organisation=claim.organisation, webhook=claim.webhook, seq=seq)

        async def switch(connection: Connection, events: tuple[WebhookEvent, ...]) -> None:
            await self._use.table.switch(connection, claim.organisation, claim.webhook, "disabled")

        order = Disable(webhook=claim.webhook, seq=seq, reason=reason)
        await self._use.vault.journal.record(note, stream_of(claim.webhook), WEBHOOK, order, switch)
        log.warning("webhook_disabled", webhook=f"{claim.organisation}/{claim.webhook}", seq=seq)
