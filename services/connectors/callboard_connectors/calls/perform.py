"""One call from its message to its answer and its record.

Hot path: no logging, no decoding of arguments or results, nothing awaited but the upstream and the bus.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import nats.errors
import structlog

from callboard.contracts import subjects
from callboard.contracts.calls import (
    ERROR,
    LISTEN,
    MODERN,
    RESULT,
    TASK_METHODS,
    CallHead,
    ReplyHead,
    encode_record,
    frame,
    frames,
    unframe_call,
)
from callboard.contracts.problems import Problem
from callboard.contracts.status import SessionTold
from callboard.kernel.param_headers import param_headers
from callboard_connectors.bridge.ask import ClientRefused, Questions
from callboard_connectors.bridge.domain import MAX_ROUNDS, input_required, speaks_for_itself, with_answers
from callboard_connectors.bridge.held import Conversation, HeldCalls, digest_of_request
from callboard_connectors.calls.domain import (
    Ended,
    build_request,
    capability_error,
    deadline_passed,
    error_body,
    lost_call,
    outcome_of,
    said_too_much,
    settle,
    stayed_idle,
)
from callboard_connectors.calls.in_flight import Call, Flush, InFlight, Publish, Record
from callboard_connectors.calls.record import record_of, record_subject
from callboard_connectors.calls.sign_in import to_sign_in, without_answer
from callboard_connectors.calls.traced import CallSpans
from callboard_connectors.sessions.levels import agree
from callboard_connectors.sessions.mirrors import Lease
from callboard_connectors.sessions.open import problem_of
from callboard_connectors.sessions.session import Outgoing, Session
from callboard_connectors.sessions.upstream import Upstream
from callboard_connectors.tasks.domain import is_about_a_task, renamed
from callboard_connectors.tasks.identify import Tasks
from callboard_connectors.transports.envelope import NOTHING, Envelope, encode, error_code, fault_of
from callboard_connectors.transports.failures import InvalidAnswer, SessionUnknown, StatusRefused, TransportFailure

log = structlog.get_logger()


class Calls:
    """Makes calls; one for the whole worker."""

    def __init__(
        self,
        table: InFlight,
        publish: Publish,
        flush: Flush,
        record: Record,
        tasks: Tasks,
        max_frame: int,
        bulkhead: int,
        worker: str,
        spans: CallSpans | None = None,
    ) -> None:
        self.table = table
        self._loop = asyncio.get_running_loop()
        # What clients see of this worker: a name that tells nothing of the machine.
        self.alias = os.urandom(8).hex()
        self._questions = Questions(publish, self.alias)
        self._held = HeldCalls(self.alias)
        self._publish = publish
        self._flush = flush
        self._record = record
        self._tasks = tasks
        self._max_frame = max_frame
        self._bulkhead = bulkhead
        self._worker = worker
        self._spans = spans

    @property
    def questions(self) -> Questions:
        """What clients are asked right now."""
        return self._questions

    def begin(self, upstream: Upstream, data: bytes) -> None:
        """Take a message of `cb.call.*`; the call runs on its own."""
        head, params = unframe_call(data)
        call = Call(head, self._publish, self._flush, self._max_frame, self.table.deadlines)
        if self.table.begin(call):
            call.task = self._task(self._perform(upstream, call, params), head)

    async def go_on(self, find: Callable[[str, str], Upstream | None], data: bytes) -> None:
        """Take a message of `cb.held.*`: the next step in a call that is held here, or in a task that was made here."""
        head, params = unframe_call(data)
        call = Call(head, self._publish, self._flush, self._max_frame, self.table.deadlines)
        upstream = find(head.organisation, head.server)
        going_on = head.method not in TASK_METHODS
        if upstream is None:
            gone = Problem("call.held_lost", f"server {head.server!r} is not here any more", server=head.server)
            await self._answer(call, _failure(head, gone))
        elif self.table.begin(call):
            call.task = self._task(self._perform(upstream, call, params, retry=going_on), head)

    def _task(self, work: Coroutine[Any, Any, None], head: CallHead) -> asyncio.Task[None]:
        # By its class and with a name: the loop's own way would make up a name first.
        return asyncio.Task(work, loop=self._loop, name=head.call_id)

    async def _perform(self, upstream: Upstream, call: Call, params: bytes, *, retry: bool = False) -> None:
        span = None if self._spans is None else self._spans.taken(call)
        head = call.head
        call.running = True
        taken = time.time_ns() // 1000
        left = (head.deadline * 1000 - taken) / 1_000_000
        if left > 0:
            call.start(left)
        busy = head.method != LISTEN  # a subscription waits with no end: it keeps nothing else from being done
        if busy:
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
            call.running = False  # its answer cannot be stopped any more
            if busy:
                upstream.leave()
            call.settle()
        try:
            if call.sent and not ended.upstream_us:
                # It failed: the server's time is all the time there was.
                ended.upstream_us = time.time_ns() // 1000 - taken
            await self._answer(call, ended)
            head = call.head  # of a task: with the tool and version that it began with
            record = record_of(head, ended, upstream, params, self._worker, taken)
            self._record(record_subject(head), encode_record(record))
            if span is not None and self._spans is not None:
                self._spans.ended(span, head, ended, upstream, taken)
        except nats.errors.Error as error:
            log.warning("answer_not_sent", call_id=head.call_id, reason=type(error).__name__)

    async def _ended(self, upstream: Upstream, call: Call, params: bytes, left: float, *, retry: bool) -> Ended:
        head = call.head
        try:
            self._refuse_unmade(upstream, call, left)
            if upstream.personal is not None:
                return await self._ended_for(upstream.personal.of(head), call, params, left, retry=retry)
            started = time.perf_counter_ns()
            answer = await self._answered(upstream, call, params, retry)
            if isinstance(answer, bytes):
                return Ended(RESULT, answer, "ok")
            took = (time.perf_counter_ns() - started) // 1000
            if answer.error is not NOTHING:
                error = capability_error(head, bytes(answer.error))
                return Ended(ERROR, error, "error", error_code=error_code(error), upstream_us=took)
            settled = settle(head, bytes(answer.result))
            body = settled.body
            if settled.is_task or call.augmented or call.about is not None:
                body = await self._with_task(upstream, call, body)
            return Ended(RESULT, body, settled.outcome, upstream_us=took)
        except Problem as problem:
            return to_sign_in(head, problem) or _failure(head, problem)
        except ClientRefused as refused:
            return Ended(ERROR, refused.error, "error", error_code=error_code(refused.error))
        except TransportFailure as failure:
            lost = lost_call(head, failure.reason, sent=failure.sent)
            if head.method != LISTEN:  # a subscription may end at any time
                upstream.missed(lost.message)
            return _failure(head, lost)
        except (InvalidAnswer, StatusRefused, SessionUnknown) as error:
            return _failure(head, problem_of(head.server, error))
        except msgspec.DecodeError as error:
            return _failure(head, problem_of(head.server, InvalidAnswer(fault_of(error))))

    async def _ended_for(self, own: Upstream, call: Call, params: bytes, left: float, *, retry: bool) -> Ended:
        """The same at a server that this caller signs in to by themselves."""
        own.enter()
        try:
            return await self._ended(own, call, without_answer(params), left, retry=retry)
        finally:
            own.leave()

    def _refuse_unmade(self, upstream: Upstream, call: Call, left: float) -> None:
        """Raises for a call that is not to be made at all."""
        if call.ending:
            raise _why_ended(call)
        if left <= 0:
            raise Problem("call.deadline_exceeded", "the deadline had passed before the call was made")
        if upstream.in_flight > self._bulkhead:
            words = f"server {call.head.server!r} is busy: {self._bulkhead} calls are in flight"
            raise Problem("server.unavailable", words)

    async def _answered(self, upstream: Upstream, call: Call, params: bytes, retry: bool) -> Envelope | bytes:
        """The upstream's answer; or, as bytes, the questions that a stateless client must answer first."""
        if retry:
            return await self._conversed(self._held.take_up(call, params))
        if is_about_a_task(call.head.method):
            call.head, call.about = await self._tasks.found(call.head, params)
        head, session = call.head, upstream.live or await upstream.session()
        modern = session.opening.modern
        if session.opening.makes_tasks:
            await self._tasks.seal_of(head.organisation)
        if call.about is not None and head.method == LISTEN and not modern:
            raise Problem("method.unknown", f"server {head.server!r} knows no subscriptions", method=LISTEN)
        if not modern and _has_its_own_session(head, session):
            lease = await upstream.mirrors.borrow(head)
            if lease is not None:
                try:
                    return await self._mirrored(upstream, lease, call, params)
                except SessionUnknown:
                    # It was not executed: once more, on a session that the server knows.
                    lease.discard()
                    lease = await upstream.mirrors.borrow(head)
            if lease is not None:
                return await self._mirrored(upstream, lease, call, params)
        answer = await self._sent(upstream, session, call, params)
        if head.era == MODERN or not modern:
            return answer
        return await self._asked(upstream, session, call, params, answer)

    async def _mirrored(self, upstream: Upstream, lease: Lease, call: Call, params: bytes) -> Envelope | bytes:
        """A handshake upstream that may ask this client something, on a session that speaks for it."""
        await agree(lease.session, call.head.log_level)
        outgoing = self._outgoing(upstream, lease.session, call, params)
        if call.head.era == MODERN:
            digest = digest_of_request(call.head, params)
            return await self._conversed(Conversation(lease, outgoing, call, digest))
        call.asker = self._questions
        try:
            answer = await lease.session.call(outgoing, call)
            if call.augmented and bytes(answer.result):
                await self._begun(upstream, lease, call, bytes(answer.result))
            return answer
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
        head, renewed = call.head, False
        while True:
            if head.log_level or (session.log_level and head.era != MODERN):
                call.level = await agree(session, head.log_level)
            try:
                answer = await session.call(self._outgoing(upstream, session, call, params), call)
            except SessionUnknown:
                if renewed:
                    raise
                renewed, session = True, await upstream.renew(session)
            else:
                upstream.answered()
                return answer

    def _outgoing(self, upstream: Upstream, session: Session, call: Call, params: bytes) -> Outgoing:
        head, number = call.head, session.next_id()
        modern = session.opening.modern
        built = build_request(head, params, number, modern, call.about.theirs if call.about is not None else "")
        call.number, call.client_token, call.augmented = number, built.client_token, built.augmented
        headers = None
        if modern and head.method == "tools/call" and (paths := upstream.wanted.header_maps.get(head.upstream_name)):
            headers = param_headers(paths, built.arguments)
        return Outgoing(number, head.method, built.message, built.name, headers)

    async def _with_task(self, upstream: Upstream, call: Call, body: bytes) -> bytes:
        """The result with the client's name for the task in it."""
        ids = call.about or await self._tasks.named(call.head, body, self._holder(upstream))
        return body if ids is None else renamed(body, ids)

    def _holder(self, upstream: Upstream) -> str:
        """A handshake server may know a task on the session only that made it, and this worker has that."""
        return "" if upstream.era == MODERN or upstream.wanted.definition.is_stdio else self.alias

    async def _begun(self, upstream: Upstream, lease: Lease, call: Call, result: bytes) -> None:
        """A handshake client made a task, perhaps: what its server says of it goes to that client's stream."""
        call.about = await self._tasks.named(call.head, result, self._holder(upstream))
        if call.about is not None:
            lease.follow(call.about, partial(self._tell, call.head.session))

    async def _tell(self, session: str, message: bytes) -> None:
        told = SessionTold(session=session, message=msgspec.Raw(message))
        await self._publish(subjects.SESSION_TOLD, encode(told))

    def _answer(self, call: Call, ended: Ended) -> Awaitable[None]:
        """The last message of the call, in pieces when the bus does not take it whole."""
        if len(ended.body) > self._max_frame:
            return self._answer_in_pieces(call, ended)
        head = call.head
        last = frame(ReplyHead(head.call_id, ended.kind, ended.problem), ended.body)
        self.table.finish(call, last)
        return self._publish(head.reply_to, last)

    async def _answer_in_pieces(self, call: Call, ended: Ended) -> None:
        head = call.head
        *pieces, last = frames(ReplyHead(head.call_id, ended.kind, ended.problem), ended.body, self._max_frame)
        for piece in pieces:
            await self._publish(head.reply_to, piece)
        self.table.finish(call, None)  # it cannot be said again by its last piece
        await self._publish(head.reply_to, last)


def _has_its_own_session(head: CallHead, session: Session) -> bool:
    """Whether a handshake server gets to know this client, and this client's tasks, apart from others."""
    return speaks_for_itself(head.capabilities) or (session.opening.makes_tasks and head.era != MODERN)


def _failure(head: CallHead, problem: Problem) -> Ended:
    return Ended(ERROR, error_body(problem, head), outcome_of(problem), problem.code, problem.rpc_code)


def _why_ended(call: Call) -> Problem:
    head = call.head
    if call.ending == "timeout":
        return deadline_passed(head)
    if call.ending == "idle":
        return stayed_idle(head)
    if call.ending == "flooded":
        return said_too_much(head)
    if call.ending == "cancelled":
        return Problem("call.cancelled", "the caller cancelled the request")
    return lost_call(head, "this worker stopped", sent=call.sent)
