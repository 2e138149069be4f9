"""One call from its message to its answer and its record.

Hot path: no logging, no decoding of arguments or results, nothing awaited but the upstream and the bus.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import msgspec
import nats.errors
import structlog

from callboard.contracts.calls import (
    CHUNK,
    ERROR,
    MODERN,
    RESULT,
    CallHead,
    ReplyHead,
    encode_record,
    frame,
    unframe_call,
)
from callboard.contracts.problems import Problem
from callboard.kernel.param_headers import param_headers
from callboard_connectors.bridge.ask import ClientRefused, Questions
from callboard_connectors.bridge.domain import MAX_ROUNDS, can_be_asked, input_required, with_answers
from callboard_connectors.bridge.held import Conversation, HeldCalls, digest_of_request
from callboard_connectors.calls.domain import (
    Ended,
    build_request,
    capability_error,
    error_body,
    lost_call,
    outcome_of,
    settle,
)
from callboard_connectors.calls.in_flight import Call, InFlight, Publish
from callboard_connectors.calls.record import record_of, record_subject
from callboard_connectors.sessions.mirrors import Lease
from callboard_connectors.sessions.open import problem_of
from callboard_connectors.sessions.session import Outgoing, Session
from callboard_connectors.sessions.upstream import Upstream
from callboard_connectors.transports.envelope import Envelope, peek_error
from callboard_connectors.transports.failures import InvalidAnswer, SessionUnknown, StatusRefused, TransportFailure

log = structlog.get_logger()


class Calls:
    """Makes calls; one for the whole worker."""

    def __init__(self, table: InFlight, publish: Publish, max_frame: int, bulkhead: int, worker: str) -> None:
        self.table = table
        # What clients see of this worker: a name that tells nothing of the machine.
        self.alias = os.urandom(8).hex()
        self._questions = Questions(publish, self.alias)
        self._held = HeldCalls(self.alias)
        self._publish = publish
        self._max_frame = max_frame
        self._bulkhead = bulkhead
        self._worker = worker

    @property
    def questions(self) -> Questions:
        """What clients are asked right now."""
        return self._questions

    def begin(self, upstream: Upstream, data: bytes) -> None:
        """Take a message of `cb.call.*`; the call runs on its own."""
        head, params = unframe_call(data)
        call = Call(head, self._publish)
        if self.table.begin(call):
            call.task = asyncio.get_running_loop().create_task(self._perform(upstream, call, params))

    async def go_on(self, find: Callable[[str, str], Upstream | None], data: bytes) -> None:
        """Take a message of `cb.held.*`: the client's next step in a call that is held here."""
        head, params = unframe_call(data)
        call, upstream = Call(head, self._publish), find(head.organisation, head.server)
        if upstream is None:
            gone = Problem("call.held_lost", f"server {head.server!r} is not here any more", server=head.server)
            await self._answer(call, _failure(head, gone))
        elif self.table.begin(call):
            call.task = asyncio.get_running_loop().create_task(self._perform(upstream, call, params, retry=True))

    async def _perform(self, upstream: Upstream, call: Call, params: bytes, *, retry: bool = False) -> None:
        head = call.head
        taken = time.time_ns() // 1000
        left = (head.deadline * 1000 - taken) / 1_000_000
        if left > 0:
            call.due_in(left)
        upstream.enter()
        try:
            ended = await self._ended(upstream, call, params, left, retry=retry)
        except asyncio.CancelledError:
            ended = _failure(head, _why_ended(call))
        except Exception:
            # A fault of ours must not leave a caller without an answer.
            log.exception("call_failed", call_id=head.call_id)
            ended = _failure(head, Problem("internal.unexpected", "something went wrong inside Callboard"))
        finally:
            upstream.leave()
            call.settle()
        try:
            if call.sent and not ended.upstream_us:
                # It failed: the server's time is all the time there was.
                ended.upstream_us = time.time_ns() // 1000 - taken
            await self._answer(call, ended)
            record = record_of(head, ended, upstream, params, self._worker, taken)
            await self._publish(record_subject(head), encode_record(record))
        except nats.errors.Error as error:
            log.warning("answer_not_sent", call_id=head.call_id, reason=type(error).__name__)

    async def _ended(self, upstream: Upstream, call: Call, params: bytes, left: float, *, retry: bool) -> Ended:
        head = call.head
        try:
            if left <= 0:
                raise Problem("call.deadline_exceeded", "the deadline had passed before the call was made")
            if upstream.in_flight > self._bulkhead:
                raise Problem(
                    "server.unavailable", f"server {head.server!r} is busy: {self._bulkhead} calls are in flight"
                )
            started = time.perf_counter_ns()
            answer = await self._answered(upstream, call, params, retry)
            if isinstance(answer, bytes):
                return Ended(RESULT, answer, "ok")
            took = (time.perf_counter_ns() - started) // 1000
            if error := capability_error(head, bytes(answer.error)):
                return Ended(ERROR, error, "error", error_code=peek_error(error).code, upstream_us=took)
            settled = settle(head, bytes(answer.result))
            return Ended(RESULT, settled.body, settled.outcome, upstream_us=took)
        except Problem as problem:
            return _failure(head, problem)
        except ClientRefused as refused:
            return Ended(ERROR, refused.error, "error", error_code=peek_error(refused.error).code)
        except TransportFailure as failure:
            lost = lost_call(head, failure.reason, sent=failure.sent)
            upstream.failed(lost.message)
            return _failure(head, lost)
        except (InvalidAnswer, StatusRefused, SessionUnknown) as error:
            return _failure(head, problem_of(head.server, error))
        except msgspec.DecodeError:
            return _failure(head, problem_of(head.server, InvalidAnswer("answered something that is not JSON-RPC")))

    async def _answered(self, upstream: Upstream, call: Call, params: bytes, retry: bool) -> Envelope | bytes:
        """The upstream's answer; or, as bytes, the questions that a stateless client must answer first."""
        if retry:
            return await self._conversed(self._held.take_up(call, params))
        head, session = call.head, upstream.live or await upstream.session()
        if not session.opening.modern and can_be_asked(head.capabilities):
            lease = await upstream.mirrors.borrow(head)
            if lease is not None:
                return await self._mirrored(upstream, lease, call, params)
        answer = await self._sent(upstream, session, call, params)
        return answer if head.era == MODERN else await self._asked(upstream, session, call, params, answer)

    async def _mirrored(self, upstream: Upstream, lease: Lease, call: Call, params: bytes) -> Envelope | bytes:
        """A handshake upstream that may ask this client something, on a session that speaks for it."""
        outgoing = self._outgoing(upstream, lease.session, call, params)
        if call.head.era == MODERN:
            digest = digest_of_request(call.head, params)
            return await self._conversed(Conversation(lease, outgoing, call, digest))
        call.asker = self._questions
        try:
            return await lease.session.call(outgoing, call)
        except SessionUnknown:
            lease.discard()
            raise
        finally:
            lease.release()

    async def _conversed(self, conversation: Conversation) -> Envelope | bytes:
        outcome = await conversation.next()
        return outcome if isinstance(outcome, Envelope) else self._held.hold(conversation, outcome)

    async def _asked(
        self, upstream: Upstream, session: Session, call: Call, params: bytes, answer: Envelope
    ) -> Envelope:
        """A stateless server that needs input gets it from the handshake client, round by round."""
        for _ in range(MAX_ROUNDS):
            asked = None if bytes(answer.error) else input_required(bytes(answer.result))
            if asked is None:
                return answer
            answers = await self._questions.ask(call, asked)
            answer = await self._sent(upstream, session, call, with_answers(params, answers, asked.request_state))
        server = call.head.server
        raise Problem("server.invalid_answer", f"server {server!r} asks again and again for input", server=server)

    async def _sent(self, upstream: Upstream, session: Session, call: Call, params: bytes) -> Envelope:
        """Send it once; once more only when the upstream said that it did not know our session."""
        try:
            answer = await session.call(self._outgoing(upstream, session, call, params), call)
        except SessionUnknown:
            session = await upstream.renew(session)
            answer = await session.call(self._outgoing(upstream, session, call, params), call)
        upstream.answered()
        return answer

    def _outgoing(self, upstream: Upstream, session: Session, call: Call, params: bytes) -> Outgoing:
        head, number = call.head, session.next_id()
        modern = session.opening.modern
        built = build_request(head, params, number, modern)
        call.number, call.client_token = number, built.client_token
        headers = None
        if modern and head.method == "tools/call" and (paths := upstream.wanted.header_maps.get(head.upstream_name)):
            headers = param_headers(paths, built.arguments)
        return Outgoing(number, head.method, built.message, built.name, headers)

    async def _answer(self, call: Call, ended: Ended) -> None:
        """The last message of the call, in pieces when the bus does not take it whole."""
        head, body = call.head, ended.body
        size = self._max_frame
        while len(body) > size:
            await self._publish(head.reply_to, frame(ReplyHead(head.call_id, CHUNK), body[:size]))
            body = body[size:]
        last = frame(ReplyHead(head.call_id, ended.kind, ended.problem), body)
        # What went out in pieces cannot be said again by its last one.
        self.table.finish(call, last if body is ended.body else None)
        await self._publish(head.reply_to, last)


def _failure(head: CallHead, problem: Problem) -> Ended:
    return Ended(ERROR, error_body(problem, head), outcome_of(problem), problem.code, problem.rpc_code)


def _why_ended(call: Call) -> Problem:
    head = call.head
    if call.ending == "timeout":
        return Problem("call.deadline_exceeded", f"server {head.server!r} did not answer before the deadline")
    if call.ending == "cancelled":
        return Problem("call.cancelled", "the caller cancelled the request")
    return lost_call(head, "this worker stopped", sent=call.sent)
