"""The session of a client of the handshake era, and how it is opened again when the server has forgotten it.

The client keeps the session it began: what it said (initialize, subscriptions, log level) is said again for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from callboard.bridge.endpoint import Answer, Endpoint, Unreached
from callboard.bridge.headers import MEDIA
from callboard.bridge.messages import Malformed, Refused, error_object
from callboard.bridge.said import INITIALIZED, Said
from callboard.bridge.sse import TooLarge

log = logging.getLogger("callboard.bridge")


class SessionLost(Exception):
    """The server does not know the session: what it was sent for was not executed. `error` is what it said."""

    def __init__(self, generation: int, error: bytes) -> None:
        super().__init__("session unknown")
        self.generation = generation
        self.error = error


class Session:
    """At most one at a time. `generation` counts how often it was opened; 0 is "not yet"."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.opening = asyncio.Lock()
        self.generation = 0
        self.said = Said()
        self.on_renewed: Callable[[], Awaitable[None]] | None = None
        self._id = ""

    @property
    def is_open(self) -> bool:
        """Whether the client has begun one."""
        return self.generation > 0

    @property
    def has_id(self) -> bool:
        """Whether the server gave it an id; a server may do without."""
        return bool(self._id)

    def headers(self) -> dict[str, str]:
        """The headers of a POST within the session."""
        headers = dict(MEDIA)
        if self._id:
            headers["Mcp-Session-Id"] = self._id
        if self.said.version:
            headers["MCP-Protocol-Version"] = self.said.version
        return headers

    def opened(self, initialize: bytes, answer: Answer, result: bytes) -> None:
        """The server answered an `initialize`."""
        self.said.initialized(initialize, result)
        self._id = answer.header("mcp-session-id")
        self.generation += 1

    async def renew(self, generation: int) -> None:
        """Open it again, unless somebody did since that generation. Raises `Unreached` or `Refused`."""
        async with self.opening:
            if self.generation != generation:
                return
            log.warning("the server does not know the session any more; opening another one")
            await self._open()
            for line in (INITIALIZED, *self.said.to_repeat()):
                async with self._endpoint.exchange("POST", self.headers(), line) as answer:
                    if answer.status >= 400:
                        log.warning("the new session refused what the old one had (HTTP %d)", answer.status)
        if self.on_renewed is not None:
            await self.on_renewed()

    async def _open(self) -> None:
        async with self._endpoint.exchange("POST", MEDIA, self.said.initialize) as answer:
            try:
                found = await answer.message()
            except (Malformed, TooLarge):
                found = None
            if found is None:
                if answer.status in (429, 502, 503, 504):
                    raise Unreached(f"HTTP {answer.status}", sent=False)
                raise Refused(error_object(-32603, f"no new session: the server answered HTTP {answer.status}"))
            if not bytes(found.result):
                raise Refused(bytes(found.error))
            self.opened(self.said.initialize, answer, bytes(found.result))

    async def end(self) -> None:
        """Tell the server that the client is gone."""
        if self._id:
            async with self._endpoint.exchange("DELETE", self.headers()):
                pass
