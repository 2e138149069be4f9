"""The session of a client of the handshake era, and how it is opened again when the server has forgotten it.

The client keeps the session it began: what it said (initialize, subscriptions, log level) is said again for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from callboard.bridge.endpoint import Answer, Endpoint, Unreached
from callboard.bridge.headers import MEDIA
from callboard.bridge.messages import Envelope, Malformed, Refused, error_object, notification
from callboard.bridge.sse import TooLarge

log = logging.getLogger("callboard.bridge")
_INITIALIZED = notification("notifications/initialized")
_LISTS = ("tools", "prompts", "resources")


class SessionLost(Exception):
    """The server does not know the session: what it was sent for was not executed. `error` is what it said."""

    def __init__(self, generation: int, error: bytes) -> None:
        super().__init__("session unknown")
        self.generation = generation
        self.error = error


class _Result(msgspec.Struct, frozen=True, rename="camel"):
    protocol_version: str = ""
    capabilities: dict[str, Any] = {}


class _Subscription(msgspec.Struct, frozen=True):
    uri: str


_result = msgspec.json.Decoder(_Result).decode
_subscription = msgspec.json.Decoder(_Subscription).decode


class Session:
    """At most one at a time. `generation` counts how often it was opened; 0 is "not yet"."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.opening = asyncio.Lock()
        self.generation = 0
        self.lists: tuple[str, ...] = ()
        self.on_renewed: Callable[[], Awaitable[None]] | None = None
        self._id = ""
        self._version = ""
        self._initialize = b""
        self._subscriptions: dict[str, bytes] = {}
        self._level = b""

    @property
    def is_open(self) -> bool:
        """Whether the client has begun one."""
        return self.generation > 0

    @property
    def has_id(self) -> bool:
        """Whether the server gave it an id; a server may do without."""
        return bool(self._id)

    @property
    def watched(self) -> list[str]:
        """The resources that the client subscribed to."""
        return list(self._subscriptions)

    def headers(self) -> dict[str, str]:
        """The headers of a POST within the session."""
        headers = dict(MEDIA)
        if self._id:
            headers["Mcp-Session-Id"] = self._id
        if self._version:
            headers["MCP-Protocol-Version"] = self._version
        return headers

    def opened(self, initialize: bytes, answer: Answer, result: bytes) -> None:
        """The server answered an `initialize`."""
        try:
            found = _result(result)
        except msgspec.DecodeError:
            found = _Result()
        if self._version and self._version != found.protocol_version and initialize == self._initialize:
            log.warning("the server now speaks %s instead of %s", found.protocol_version, self._version)
        elif initialize != self._initialize:
            self._subscriptions.clear()
            self._level = b""
        self._initialize = initialize
        self._id, self._version = answer.header("mcp-session-id"), found.protocol_version
        if not all(" " < c <= "~" for c in self._version):
            self._version = ""
        declared = found.capabilities
        self.lists = tuple(k for k in _LISTS if isinstance(declared.get(k), dict) and declared[k].get("listChanged"))
        self.generation += 1

    def remember(self, message: Envelope, line: bytes) -> None:
        """The server accepted a request of the client that a new session needs as well."""
        if message.method == "logging/setLevel":
            self._level = line
            return
        try:
            uri = _subscription(message.params).uri
        except msgspec.DecodeError:
            return
        if message.method == "resources/subscribe":
            self._subscriptions[uri] = line
        elif message.method == "resources/unsubscribe":
            self._subscriptions.pop(uri, None)

    async def renew(self, generation: int) -> None:
        """Open it again, unless somebody did since that generation. Raises `Unreached` or `Refused`."""
        async with self.opening:
            if self.generation != generation:
                return
            log.warning("the server does not know the session any more; opening another one")
            await self._open()
            for line in (_INITIALIZED, *self._subscriptions.values(), self._level):
                if line:
                    async with self._endpoint.exchange("POST", self.headers(), line) as answer:
                        if answer.status >= 400:
                            log.warning("the new session refused what the old one had (HTTP %d)", answer.status)
        if self.on_renewed is not None:
            await self.on_renewed()

    async def _open(self) -> None:
        async with self._endpoint.exchange("POST", MEDIA, self._initialize) as answer:
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
            self.opened(self._initialize, answer, bytes(found.result))

    async def end(self) -> None:
        """Tell the server that the client is gone."""
        if self._id:
            async with self._endpoint.exchange("DELETE", self.headers()):
                pass
