"""The call path: bare messages of the bus, one call into the room each."""

from __future__ import annotations

import msgspec
from nats.aio.msg import Msg

from callboard.contracts.calls import AskCallHeld, CancelCall, unframe_answer
from callboard_connectors.bridge.ask import Questions
from callboard_connectors.calls.in_flight import InFlight, Publish
from callboard_connectors.calls.perform import Calls
from callboard_connectors.sessions.upstream import Upstream

_cancel = msgspec.json.Decoder(CancelCall).decode
_held = msgspec.json.Decoder(AskCallHeld).decode


class CallIntake:
    """`cb.call.<organisation>.<server>`: the reply subject of these messages is the router's, never answered."""

    def __init__(self, calls: Calls, upstream: Upstream) -> None:
        self._calls = calls
        self._upstream = upstream

    def on_call(self, _subject: str, _reply: str, data: bytes, _headers: bytes) -> None:
        """A call for this server."""
        self._calls.begin(self._upstream, data)


class CallControl:
    """`cb.cancel`, `cb.ask.call_held` (every worker hears them) and `cb.answer.<worker>`."""

    def __init__(self, table: InFlight, questions: Questions, publish: Publish) -> None:
        self._table = table
        self._questions = questions
        self._publish = publish

    def on_cancel(self, _subject: str, _reply: str, data: bytes, _headers: bytes) -> None:
        """Stop a call, if it is here. Heard where calls are heard, so that none overtakes what was sent before it."""
        command = _cancel(data)
        self._table.cancel(command.call_id, command.session, command.request_id)

    async def on_answer(self, msg: Msg) -> None:
        """A client answered what this worker asked."""
        self._questions.answered(*unframe_answer(msg.data))

    async def on_held(self, msg: Msg) -> None:
        """Say so if the call is here; if it ended lately, say its answer again."""
        call_id = _held(msg.data).call_id
        if call_id in self._table.calls:
            await self._publish(msg.reply, b"held")
        elif (finished := self._table.finished(call_id)) is not None and finished.frame is not None:
            await self._publish(finished.reply_to, finished.frame)
            await self._publish(msg.reply, b"held")
