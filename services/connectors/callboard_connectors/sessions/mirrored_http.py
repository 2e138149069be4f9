"""A handshake session over HTTP that speaks for one client: what its server says outside a call is for that client.

Many servers ask (and log) on the session's own GET stream instead of the stream of the call that made them ask.
Spec: basic/transports of 2025-11-25, "listening for messages from the server".
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from callboard.contracts.problems import Problem
from callboard_connectors.sessions.http_session import HttpSession
from callboard_connectors.sessions.session import LIST_CHANGED, UPDATED, Listener, Outgoing
from callboard_connectors.transports import envelope as rpc
from callboard_connectors.transports.envelope import Envelope
from callboard_connectors.transports.failures import InvalidAnswer, TransportFailure
from callboard_connectors.transports.http_wire import Response

# Some servers send the head of this stream only with its first event: then the calls do not wait for it.
_OPENED_SECONDS = 0.5
_AGAIN_SECONDS = 1.0
# The worker watches those on a session that all clients share.
_WATCHED = LIST_CHANGED | {UPDATED}


class MirroredHttpSession(HttpSession):
    """Listens from `attend` until it is closed, or the server says that it has no such stream."""

    _calling: list[Listener]

    async def attend(self) -> None:
        """Open the stream before the first call: what a server asks while nobody listens is lost."""
        self._calling = []
        if self._session_id:
            opened = asyncio.Event()
            self._later(self._attended(opened))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(opened.wait(), _OPENED_SECONDS)

    async def call(self, outgoing: Outgoing, listener: Listener) -> Envelope:
        """See `Session.call`."""
        self._calling.append(listener)
        try:
            return await super().call(outgoing, listener)
        finally:
            self._calling.remove(listener)

    async def _attended(self, opened: asyncio.Event) -> None:
        last_id, pause = "", _AGAIN_SECONDS
        while True:
            try:
                response = await self._get({"Last-Event-ID": last_id} if last_id else {})
            except (TransportFailure, Problem):
                return  # the next call will find out what is the matter
            finally:
                opened.set()
            try:
                if response.status != 200:
                    return
                last_id, pause = await self._followed(response, last_id, pause)
            except InvalidAnswer:
                return
            finally:
                response.close()
            await asyncio.sleep(pause)

    async def _followed(self, response: Response, last_id: str, pause: float) -> tuple[str, float]:
        """Take events until the stream ends; how to take it up again: the last id, and after how many seconds."""
        try:
            async for event in self._link.events(response):
                last_id = event.id or last_id
                pause = pause if event.retry is None else event.retry / 1000
                if event.data:
                    await self._taken(event.data)
        except TransportFailure:
            pass
        return last_id, pause

    async def _taken(self, raw: bytes) -> None:
        try:
            found = rpc.decode(raw)
        except msgspec.DecodeError:
            return
        if found.method and bytes(found.id):
            if self._calling:
                self._later(self._replied(found, self._calling[-1]))
            else:
                self._tell_later(rpc.reply_to_server(found))
        elif found.method and found.method not in _WATCHED and len(self._calling) == 1:
            await self._calling[0].notified(found, raw)
