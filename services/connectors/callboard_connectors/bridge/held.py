"""A handshake upstream asks the client something while a stateless client waits: the call is held here.

The client gets `input_required` with the questions and a sealed state; its retry, through any edge and router, comes
back to this worker, the upstream gets its answers, and the call goes on. Never retried: the upstream call is
cancelled when the state expires.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time

import msgspec

from callboard.contracts.calls import CallHead
from callboard.contracts.problems import Problem
from callboard.kernel.digest import canonical
from callboard.kernel.plain_json import plain
from callboard_connectors.bridge.domain import MAX_ROUNDS, InputRequest, capability_of
from callboard_connectors.bridge.seal import Held, Seal
from callboard_connectors.calls.domain import client_token_of
from callboard_connectors.calls.in_flight import Call
from callboard_connectors.sessions.mirrors import Lease
from callboard_connectors.sessions.session import Outgoing
from callboard_connectors.transports.envelope import NOTHING, Envelope, encode

HELD_SECONDS = 600.0
MAX_HELD = 1000
_GATHER_SECONDS = 0.02


class _Retry(msgspec.Struct, rename="camel"):
    request_state: str = ""
    input_responses: dict[str, msgspec.Raw] = {}
    arguments: msgspec.Raw = NOTHING


_retry = msgspec.json.Decoder(_Retry).decode


def digest_of_request(head: CallHead, params: bytes) -> str:
    """What makes a retry the same request: method, server, name and arguments."""
    arguments = _retry(params).arguments
    said = [head.method, head.server, head.upstream_name, plain(arguments) if bytes(arguments) else None]
    return hashlib.sha256(canonical(said)).hexdigest()


class _Question:
    __slots__ = ("answer", "asked")

    def __init__(self, asked: InputRequest) -> None:
        self.asked = asked
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()


class Conversation:
    """One upstream call and the client calls that follow each other on it. It listens for both of them."""

    def __init__(self, lease: Lease, outgoing: Outgoing, call: Call, digest: str) -> None:
        self.id = os.urandom(12).hex()
        self.digest = digest
        self.principal = call.head.principal
        self.round = 0
        self._lease = lease
        self._outgoing = outgoing
        self._call: Call | None = call
        self._number = call.number
        self._open: dict[str, _Question] = {}
        self._asked = 0
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> Envelope:
        try:
            return await self._lease.session.call(self._outgoing, self)
        finally:
            self._lease.release()
            self._news.set()

    # ------------------------------------------------------------------------- what the upstream says

    async def notified(self, envelope: Envelope, raw: bytes) -> None:
        """Pass a notification on to the client call of the moment."""
        if self._call is not None:
            await self._call.notified(envelope, raw)

    def flooded(self) -> None:
        """It says too much: the client call of the moment ends, and this with it."""
        if self._call is None:
            self.cancel()
        else:
            self._call.flooded()

    def written(self) -> None:
        """From here on the upstream may have executed it."""
        if self._call is not None:
            self._call.written()

    async def paused(self, milliseconds: int) -> None:
        """A stateless client cannot come back to its stream: it goes on waiting."""

    async def asked(self, envelope: Envelope) -> bytes | None:
        """A question for the client: wait for its answer, however many client calls that takes."""
        if not capability_of(envelope.method):
            return None
        self._asked += 1
        params = envelope.params if bytes(envelope.params) else msgspec.Raw(b"{}")
        key = f"{envelope.method.replace('/', '_')}_{self._asked}"
        question = self._open[key] = _Question(InputRequest(envelope.method, msgspec.Raw(bytes(params))))
        self._news.set()
        return await question.answer

    # --------------------------------------------------------------------------- what the client gets

    async def next(self) -> Envelope | dict[str, InputRequest]:
        """The upstream's answer, or the questions that are open. Raises what the session raises."""
        try:
            while True:
                if self._task.done():
                    return self._task.result()
                if self._open:
                    # Questions that are asked together are put together.
                    await asyncio.sleep(_GATHER_SECONDS)
                    if not self._task.done():
                        self.round += 1
                        if self.round > MAX_ROUNDS:
                            raise Problem("server.invalid_answer", "the server asks again and again for input")
                        return {key: question.asked for key, question in self._open.items()}
                self._news.clear()
                await self._news.wait()
        except BaseException:
            self.cancel()
            raise

    def go_on(self, call: Call, params: bytes, responses: dict[str, msgspec.Raw]) -> None:
        """The client came back with answers."""
        call.number = self._number
        call.client_token = client_token_of(params)
        self._call = call
        for key in [key for key in self._open if key in responses]:
            self._open.pop(key).answer.set_result(b'{"result":' + bytes(responses[key]) + b"}")

    def rest(self) -> None:
        """The client call is answered; the upstream's waits for the next one."""
        self._call = None

    def cancel(self) -> None:
        """Stop the upstream call."""
        self._task.cancel()


class HeldCalls:
    """The conversations of this worker that wait for their client."""

    def __init__(self, worker: str) -> None:
        self._seal = Seal(worker)
        self._held: dict[str, tuple[Conversation, asyncio.TimerHandle]] = {}

    def hold(self, conversation: Conversation, questions: dict[str, InputRequest]) -> bytes:
        """Keep it; returns the `input_required` result."""
        if len(self._held) >= MAX_HELD:
            conversation.cancel()
            raise Problem("server.unavailable", "too many calls wait for their client's answer")
        conversation.rest()
        timer = asyncio.get_running_loop().call_later(HELD_SECONDS, self._expired, conversation.id)
        self._held[conversation.id] = (conversation, timer)
        state = self._seal.seal(
            Held(
                conversation.id,
                conversation.principal,
                conversation.digest,
                time.time() + HELD_SECONDS,
                conversation.round,
            )
        )
        asked = {key: {"method": each.method, "params": each.params} for key, each in questions.items()}
        return encode({"resultType": "input_required", "inputRequests": asked, "requestState": state})

    def take_up(self, call: Call, params: bytes) -> Conversation:
        """The conversation that a retry belongs to, with its answers put in; `call.state_invalid` otherwise."""
        head = call.head
        try:
            retry = _retry(params)
        except msgspec.DecodeError as error:
            raise Problem("argument.invalid", f"params of {head.method}: {error}") from None
        held = self._seal.open(retry.request_state, head.principal, digest_of_request(head, params), time.time())
        found = self._held.get(held.conversation)
        if found is None or found[0].round != held.round:
            raise Problem("call.state_invalid", "the requestState was used already")
        conversation, timer = self._held.pop(held.conversation)
        timer.cancel()
        conversation.go_on(call, params, retry.input_responses)
        return conversation

    def _expired(self, id: str) -> None:
        found = self._held.pop(id, None)
        if found is not None:
            found[0].cancel()

    def close(self) -> None:
        """The worker stops."""
        for conversation, timer in self._held.values():
            timer.cancel()
            conversation.cancel()
        self._held.clear()
