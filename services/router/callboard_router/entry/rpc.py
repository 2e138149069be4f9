"""`cb.rpc.<organisation>.<playbook>`: one request of a client, on the bare connection (the hot path)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from callboard.contracts.calls import ERROR, RESULT, CallHead, ReplyHead, RpcHead, frames, unframe_rpc
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard.platform.log_follower import LogFollower
from callboard.platform.postgres import UNREACHABLE
from callboard_router.calls.among import resolve_among
from callboard_router.calls.forward import Forwarder
from callboard_router.calls.refuse import error_body, refusal_record
from callboard_router.calls.resolve import Answer, Target, resolve, unknown_task
from callboard_router.calls.traced import RouterSpans
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.served import Served
from callboard_router.policies.counters import Counters, Wanted, limited
from callboard_router.quotas.meters import Meters

log = structlog.get_logger()
_CATCH_UP_SECONDS = 2.0


class RpcEntry:
    """Decode, resolve, then answer or forward."""

    def __init__(
        self,
        bus: Bus,
        record: Callable[[str, bytes], None],
        served: Served,
        follower: LogFollower,
        meters: Meters,
        counters: Counters,
        placement_wait: float,
        spans: RouterSpans | None = None,
    ) -> None:
        self._bus = bus
        self._record_later = record
        self._served = served
        self._follower = follower
        self._meters = meters
        self._counters = counters
        self._spans = spans
        self.forwarder = Forwarder(bus, placement_wait, self.refuse_call)
        self.behind: set[asyncio.Task[None]] = set()

    def handle(self, subject: str, reply: str, data: bytes, _: bytes) -> None:
        """One message; whatever goes wrong, the caller gets an answer."""
        head, params = unframe_rpc(data)
        if self._spans is not None:
            head = self._spans.taken(head)
        _cb, _rpc, organisation, name = subject.split(".", 3)
        if head.reached > self._follower.position(organisation):
            # Another router was quicker, and its agents know. Those of other organisations do not wait for this.
            task = asyncio.create_task(self._handle_later(reply, head, params, organisation, name))
            self.behind.add(task)
            task.add_done_callback(self.behind.discard)
            return
        self._handle(reply, head, params, organisation, name)

    async def _handle_later(self, reply: str, head: RpcHead, params: bytes, organisation: str, name: str) -> None:
        catching_up = asyncio.create_task(self._catch_up(organisation))
        self.behind.add(catching_up)
        catching_up.add_done_callback(self.behind.discard)
        # Not cancelled after that time: a batch that is half applied would be applied again.
        await asyncio.wait([catching_up], timeout=_CATCH_UP_SECONDS)
        self._handle(reply, head, params, organisation, name)

    async def _catch_up(self, organisation: str) -> None:
        with contextlib.suppress(*UNREACHABLE):
            await self._follower.catch_up(organisation)

    def _handle(self, reply: str, head: RpcHead, params: bytes, organisation: str, name: str) -> None:
        playbook: CompiledPlaybook | bytes | None = None
        try:
            if head.deadline <= time.time() * 1000:
                raise Problem("call.deadline_exceeded", "the deadline had passed before the call was routed")
            playbook = self._found(organisation, name, head, params)
            if isinstance(playbook, bytes):
                self._reply(reply, ReplyHead(head.call_id, RESULT), playbook)
                if self._spans is not None:
                    self._spans.ended(head, organisation, None, "")
                return
            outcome = resolve(head, params, playbook)
            if not playbook.limits_of_calls or self._taken(reply, head, params, organisation, playbook, outcome):
                self._settle(reply, head, params, organisation, playbook, outcome)
        except Exception as error:
            owner = playbook if isinstance(playbook, CompiledPlaybook) else None
            self._failed(reply, head, len(params), organisation, owner, error)

    def _failed(
        self,
        reply: str,
        head: RpcHead,
        size: int,
        organisation: str,
        playbook: CompiledPlaybook | None,
        error: Exception,
    ) -> None:
        if self._spans is not None:
            code = error.code if isinstance(error, Problem) else "internal.unexpected"
            self._spans.ended(head, organisation, playbook, code)
        if not isinstance(error, Problem):
            log.error("rpc_failed", method=head.method, call_id=head.call_id, exc_info=error)
            self._error(reply, head.call_id, Problem("internal.unexpected", "the request failed inside"))
            return
        body = self._error(reply, head.call_id, error)
        if playbook is not None and head.method == "tools/call":
            refused = Answer(body, playbook.recorded_as(error), str(error.data.get("tool", "")))
            self._record(organisation, playbook.name, playbook.version, head, refused, size)

    def _taken(
        self,
        reply: str,
        head: RpcHead,
        params: bytes,
        organisation: str,
        playbook: CompiledPlaybook,
        outcome: Answer | Target,
    ) -> bool:
        """Count a call where calls are limited; False when its counters have to be leased first, and it goes on then.

        Raises `Problem` for one too many.
        """
        wanted = limited(playbook, head, outcome)
        try:
            taken = not wanted or self._counters.take_now(wanted)
        except Problem as problem:
            problem.data.setdefault("tool", outcome.wire_name)
            raise
        if not taken:
            # Nobody else's calls wait for the lease.
            task = asyncio.create_task(self._leased(reply, head, params, organisation, playbook, outcome, wanted))
            self.behind.add(task)
            task.add_done_callback(self.behind.discard)
        return taken

    async def _leased(
        self,
        reply: str,
        head: RpcHead,
        params: bytes,
        organisation: str,
        playbook: CompiledPlaybook,
        outcome: Answer | Target,
        wanted: list[Wanted],
    ) -> None:
        try:
            await self._counters.take(wanted)
            self._settle(reply, head, params, organisation, playbook, outcome)
        except Exception as error:
            if isinstance(error, Problem):
                error.data.setdefault("tool", outcome.wire_name)
            self._failed(reply, head, len(params), organisation, playbook, error)

    def _settle(
        self,
        reply: str,
        head: RpcHead,
        params: bytes,
        organisation: str,
        playbook: CompiledPlaybook,
        outcome: Answer | Target,
    ) -> None:
        """Answer, or forward."""
        if isinstance(outcome, Answer):
            self._reply(reply, ReplyHead(head.call_id, RESULT, "", playbook.version), outcome.result)
            if outcome.refused:
                self._record(organisation, playbook.name, playbook.version, head, outcome, len(params))
            if self._spans is not None:
                self._spans.settled(head, organisation, playbook, outcome)
            return
        if outcome.is_task and not self._served.is_registered(organisation, outcome.server):
            raise unknown_task()
        if self._meters.limited and head.method == "tools/call" and not head.replay_of:
            self._meters.take(organisation)
        call = _call_of(head, organisation, playbook, outcome, reply)
        self.forwarder.forward(call, outcome.params or params, outcome.holder)
        if self._spans is not None:
            self._spans.settled(head, organisation, playbook, outcome)

    def _found(self, organisation: str, playbook: str, head: RpcHead, params: bytes) -> CompiledPlaybook | bytes:
        """The playbook that resolves this, or the result for several."""
        if head.selection:
            return resolve_among(head, params, self._served.select(organisation, head))
        try:
            return self._served.find(organisation, playbook, head)
        except Problem:
            if head.anonymous:
                # Without a token nobody learns which playbooks there are.
                raise Problem("auth.required", "this playbook wants a token") from None
            raise

    def refuse_call(self, head: CallHead, size: int, problem: Problem) -> None:
        """A call that was routed but could not be sent."""
        if self._spans is not None:
            self._spans.not_placed(head, problem)
        body = self._error(head.reply_to, head.call_id, problem)
        refused = Answer(body, problem.code, head.wire_name, head.server, head.digest)
        self._record(head.organisation, head.playbook, head.version, head, refused, size)

    def _record(
        self, organisation: str, playbook: str, version: int, head: RpcHead | CallHead, answer: Answer, size: int
    ) -> None:
        subject, record = refusal_record(organisation, playbook, version, head, answer, size)
        self._record_later(subject, record)

    def _error(self, reply: str, call_id: str, problem: Problem) -> bytes:
        body = error_body(problem, call_id)
        self._reply(reply, ReplyHead(call_id, ERROR, problem.code), body)
        return body

    def _reply(self, reply: str, head: ReplyHead, body: bytes) -> None:
        for payload in frames(head, body, self._bus.max_payload - 1024):
            self._bus.send(reply, payload)


def _call_of(head: RpcHead, organisation: str, playbook: CompiledPlaybook, target: Target, reply: str) -> CallHead:
    """What the connector is told; it answers the edge's inbox `reply`."""
    return CallHead(
        head.call_id,
        head.method,
        organisation,
        playbook.name,
        playbook.version,
        target.server,
        target.upstream_name,
        target.wire_name,
        target.digest,
        reply,
        head.era,
        head.client,
        head.principal,
        min(head.deadline, head.received // 1000 + target.limits.longest),
        head.received,
        time.time_ns() // 1000,
        head.request_id,
        head.session,
        head.traceparent,
        head.capabilities,
        head.client_info,
        head.log_level,
        target.limits.idle,
        target.limits.ask_progress,
        head.replay_of,
        playbook.recording,
    )
