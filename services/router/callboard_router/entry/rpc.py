"""`cb.rpc.<organisation>.<playbook>`: one request of a client, on the bare connection (the hot path)."""

from __future__ import annotations

import time

import structlog
from nats.aio.msg import Msg

from callboard.contracts.calls import ERROR, RESULT, CallHead, ReplyHead, RpcHead, frames, unframe_rpc
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_router.calls.among import resolve_among
from callboard_router.calls.forward import Forwarder
from callboard_router.calls.refuse import error_body, refusal_record
from callboard_router.calls.resolve import Answer, resolve, unknown_task
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.served import Served

log = structlog.get_logger()


class RpcEntry:
    """Decode, resolve, then answer or forward."""

    def __init__(self, bus: Bus, served: Served, placement_wait: float) -> None:
        self._bus = bus
        self._served = served
        self.forwarder = Forwarder(bus, placement_wait, self.refuse_call)

    async def handle(self, message: Msg) -> None:
        """One message; whatever goes wrong, the caller gets an answer."""
        head, params = unframe_rpc(message.data)
        _, _, organisation, name = message.subject.split(".", 3)
        try:
            if head.deadline <= time.time() * 1000:
                raise Problem("call.deadline_exceeded", "the deadline had passed before the call was routed")
            playbook = self._found(organisation, name, head, params)
            if isinstance(playbook, bytes):
                await self._reply(message.reply, ReplyHead(head.call_id, RESULT), playbook)
                return
            outcome = resolve(head, params, playbook)
            if isinstance(outcome, Answer):
                await self._reply(message.reply, ReplyHead(head.call_id, RESULT, "", playbook.version), outcome.result)
                if outcome.refused:
                    await self._record(organisation, playbook.name, playbook.version, head, outcome, len(params))
                return
            if outcome.is_task and not self._served.is_registered(organisation, outcome.server):
                raise unknown_task()
            limits = outcome.limits
            await self.forwarder.forward(
                CallHead(
                    head.call_id,
                    head.method,
                    organisation,
                    playbook.name,
                    playbook.version,
                    outcome.server,
                    outcome.upstream_name,
                    outcome.wire_name,
                    outcome.digest,
                    message.reply,
                    head.era,
                    head.client,
                    head.principal,
                    min(head.deadline, head.received // 1000 + limits.longest),
                    head.received,
                    time.time_ns() // 1000,
                    head.request_id,
                    head.session,
                    head.traceparent,
                    head.capabilities,
                    head.client_info,
                    head.log_level,
                    idle_ms=limits.idle,
                    ask_progress=limits.ask_progress,
                ),
                params,
                outcome.holder,
            )
        except Problem as problem:
            await self._error(message.reply, head.call_id, problem)
        except Exception:
            log.exception("rpc_failed", method=head.method, call_id=head.call_id)
            await self._error(message.reply, head.call_id, Problem("internal.unexpected", "the request failed inside"))

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

    async def refuse_call(self, head: CallHead, size: int, problem: Problem) -> None:
        """A call that was routed but could not be sent."""
        await self._error(head.reply_to, head.call_id, problem)
        subject, record = refusal_record(
            head.organisation, head.playbook, head.version, head, head.wire_name, head.server, head.digest,
            problem.code, size,
        )  # fmt: skip
        await self._bus.client.publish(subject, record)

    async def _record(
        self, organisation: str, playbook: str, version: int, head: RpcHead, answer: Answer, size: int
    ) -> None:
        subject, record = refusal_record(
            organisation, playbook, version, head, answer.wire_name, answer.server, answer.digest,
            answer.refused, size,
        )  # fmt: skip
        await self._bus.client.publish(subject, record)

    async def _error(self, reply: str, call_id: str, problem: Problem) -> None:
        await self._reply(reply, ReplyHead(call_id, ERROR, problem.code), error_body(problem, call_id))

    async def _reply(self, reply: str, head: ReplyHead, body: bytes) -> None:
        for payload in frames(head, body, self._bus.max_payload - 1024):
            await self._bus.client.publish(reply, payload)
