"""The old HTTP+SSE transport: one GET whose stream brings every message, and a POST for each of ours.

Spec: MCP 2024-11-05, basic/transports. Above: `sessions.pipe_session`. Below: `transports.http`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from callboard.platform.egress import Egress
from callboard_connectors.transports.authorized import Bearer, link_to
from callboard_connectors.transports.failures import (
    InvalidAnswer,
    SessionUnknown,
    StatusRefused,
    TransportFailure,
    status_words,
)
from callboard_connectors.transports.headers import USER_AGENT, unreserved
from callboard_connectors.transports.http import HttpLink
from callboard_connectors.transports.http_wire import Response
from callboard_connectors.transports.sse import ServerEvent

_GET = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
_POST = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
_FORGOTTEN = (404, 410)


class SseLink:
    """A session of such a server, as a `sessions.pipe_session.Pipe`: it ends when the stream does."""

    transport = "sse"

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        max_body: int,
        connect_seconds: float,
        egress: Egress,
        bearer: Bearer | None = None,
    ) -> None:
        self._stream = link_to(url, max_body, connect_seconds, egress, bearer)
        self._bearer = bearer
        self._egress = egress
        self._posts: HttpLink | None = None
        self._headers = {**unreserved(headers), "User-Agent": USER_AGENT}
        self._head = b""
        self._max_body = max_body
        self._connect_seconds = connect_seconds
        self._response: Response | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ended: Callable[[str], None] = _nobody

    async def open(self, take: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        """Open the stream and wait until it says where messages are posted.

        Raises `StatusRefused` when there is no event stream at this URL, `InvalidAnswer` when it says something
        else first or leads away from its origin, `TransportFailure`, TimeoutError.
        """
        async with asyncio.timeout(self._connect_seconds):
            self._response = await self._got()
            events = self._stream.events(self._response)
            self._posts = self._endpoint(await anext(events, None))
        self._head = self._posts.head("POST", {**self._headers, **_POST})
        self._ended = ended
        self._reading = asyncio.create_task(self._read(events, take))

    async def _got(self) -> Response:
        link, headers = self._stream, {**self._headers, **_GET}
        response = await link.ask(link.head("GET", headers))
        if (url := link.redirect_target(response)) is not None:
            link.let_go(response)
            link.move(url)
            response = await link.ask(link.head("GET", headers))
        if response.status != 200:
            response.close()
            raise StatusRefused(response.status, status_words(response.status))
        if not response.header(b"content-type").lower().startswith("text/event-stream"):
            response.close()
            raise StatusRefused(response.status, "has no event stream at this path")
        return response

    def _endpoint(self, first: ServerEvent | None) -> HttpLink:
        """Where messages go. It must be on the origin that was registered: they carry what opens its doors."""
        if first is None or first.event != "endpoint":
            raise InvalidAnswer("opened its stream without saying where to post")
        url = self._stream.within_origin(first.data.decode("utf-8", "replace").strip())
        if url is None:
            raise InvalidAnswer("wants its messages on another origin than the registered one")
        return link_to(url, self._max_body, self._connect_seconds, self._egress, self._bearer)

    async def _read(self, events: AsyncIterator[ServerEvent], take: Callable[[bytes], None]) -> None:
        reason = "it ended its stream"
        try:
            async for event in events:
                if event.event == "message" and event.data:
                    take(event.data)
        except TransportFailure as failure:
            reason = failure.reason
        except InvalidAnswer as failure:
            reason = f"it {failure.reason}"
        finally:
            self._finish(reason)

    async def write(self, message: bytes, written: Callable[[], None]) -> None:
        """Post one message. Raises `SessionUnknown` and `StatusRefused` (not executed), `TransportFailure`."""
        assert self._posts is not None, "it is open"
        written()
        response = await self._posts.post(self._head, message)
        self._posts.let_go(response)
        status = response.status
        if status in _FORGOTTEN:
            self._finish("it forgot the session")
            raise SessionUnknown
        if status >= 300:
            raise StatusRefused(status, status_words(status))

    def foreign(self, message: bytes) -> None:
        """Nothing but messages belongs on this stream."""
        self._finish("it sent an event that is not JSON-RPC")

    def _finish(self, reason: str) -> None:
        ended, self._ended = self._ended, _nobody
        if self._response is not None:
            self._response.close()
        ended(reason)

    async def close(self) -> None:
        """Close the stream, which ends the session, and every connection."""
        self._ended = _nobody
        if self._reading is not None:
            self._reading.cancel()
        self._stream.close()
        if self._posts is not None:
            self._posts.close()


def _nobody(_reason: str) -> None:
    """Whoever was told already, or does not want to be told."""
