"""Ask a handshake client what a stateless upstream wants to know, on the stream of its own call.

The id of each question names this worker, so the answer may come in at any edge and still finds the way back.
"""

from __future__ import annotations

import asyncio
import os

import msgspec

from callboard.contracts.calls import REQUEST, AnswerHead, CallHead, ReplyHead, frame, question_token
from callboard.contracts.problems import Problem
from callboard_connectors.bridge.domain import (
    InputRequest,
    InputRequired,
    capability_of,
    client_answer,
    declared,
    question,
)
from callboard_connectors.calls.in_flight import Call, Publish
from callboard_connectors.tasks.domain import TaskIds, renamed
from callboard_connectors.transports.envelope import Envelope, encode

ANSWER_SECONDS = 600.0


class ClientRefused(Exception):
    """The client answered a question with a JSON-RPC error, which ends the call."""

    def __init__(self, error: bytes) -> None:
        super().__init__("the client refused to answer")
        self.error = error


class _Open:
    __slots__ = ("answer", "principal", "session")

    def __init__(self, head: CallHead) -> None:
        self.session = head.session
        self.principal = head.principal
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()


class Questions:
    """The questions of this worker that are not answered yet."""

    def __init__(self, publish: Publish, worker: str) -> None:
        self._publish = publish
        self._worker = worker
        self._open: dict[str, _Open] = {}

    async def ask(self, call: Call, asked: InputRequired) -> dict[str, msgspec.Raw]:
        """Put all questions of a round and wait for all answers. The call's deadline stands still meanwhile."""
        head = call.head
        missing = {capability_of(each.method) for each in asked.input_requests.values()} - declared(head.capabilities)
        if missing:
            raise Problem(
                "server.invalid_answer",
                f"server {head.server!r} asks the client for what it did not offer: {', '.join(sorted(missing))}",
                server=head.server,
            )
        tokens = {key: question_token(self._worker, os.urandom(12).hex()) for key in asked.input_requests}
        waits = {token: self._open.setdefault(token, _Open(head)) for token in tokens.values()}
        call.pause()
        try:
            for key, each in asked.input_requests.items():
                body = question(tokens[key], each)
                await self._publish(head.reply_to, frame(ReplyHead(head.call_id, REQUEST), body))
            async with asyncio.timeout(ANSWER_SECONDS):
                bodies = await asyncio.gather(*(wait.answer for wait in waits.values()))
        except TimeoutError:
            raise Problem("call.deadline_exceeded", "the client did not answer the server's question") from None
        finally:
            call.resume()
            for token in waits:
                self._open.pop(token, None)
        return {key: _result(body) for key, body in zip(tokens, bodies, strict=True)}

    async def ask_one(self, call: Call, envelope: Envelope) -> bytes | None:
        """A question of a handshake upstream, put to the handshake client as it is."""
        if not capability_of(envelope.method):
            return None
        token = question_token(self._worker, os.urandom(12).hex())
        params = msgspec.Raw(bytes(envelope.params) or b"{}")
        if call.about is not None:
            params = msgspec.Raw(renamed(params, call.about))
        waiting = self._open[token] = _Open(call.head)
        call.pause()
        try:
            body = question(token, InputRequest(envelope.method, params))
            await self._publish(call.head.reply_to, frame(ReplyHead(call.head.call_id, REQUEST), body))
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await waiting.answer
                return answer if call.about is None else _about(answer, call.about.reversed)
        except TimeoutError:
            return b'{"error":{"code":-32001,"message":"the client did not answer"}}'
        finally:
            call.resume()
            self._open.pop(token, None)

    def answered(self, head: AnswerHead, body: bytes) -> None:
        """An answer came in. Only the session and the token that were asked may answer, and only once."""
        found = self._open.get(head.token)
        if found is None or (found.session, found.principal) != (head.session, head.principal):
            return
        if not found.answer.done():
            found.answer.set_result(body)


def _about(answer: bytes, ids: TaskIds) -> bytes:
    """An answer of the client with the task named in it as the server knows it."""
    found = client_answer(answer)
    return encode({"result": msgspec.Raw(renamed(found.result, ids))}) if bytes(found.result) else answer


def _result(body: bytes) -> msgspec.Raw:
    answer = client_answer(body)
    if bytes(answer.error):
        raise ClientRefused(bytes(answer.error))
    return answer.result
