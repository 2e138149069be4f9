"""HTTP to the endpoint: one pool, bodies as they come, failures that say whether the request can have arrived."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2

import callboard
from callboard.bridge.messages import Envelope, parse_all
from callboard.bridge.sse import Event, Events, TooLarge

# Common servers close idle connections after 5 s; letting go before spares requests that cannot be sent again.
_KEEP_ALIVE_SECONDS: Final = 4.0
_DRAIN_SECONDS: Final = 0.5
_SETTLING_SECONDS: Final = 0.25
_CONNECT_SECONDS: Final = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
LONGEST_RETRY: Final = 30_000
"""Milliseconds; what a server asks for beyond that is not waited for."""
_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


class Unreached(Exception):
    """No answer came. `sent` is False only when nothing of the request can have been executed."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Patience:
    """Pauses between attempts that grow; `give_up` seconds after the first failure the last one is raised."""

    def __init__(self, give_up: float | None) -> None:
        self._give_up = give_up
        self._until: float | None = None
        self._pause = _FIRST_PAUSE

    def forget(self) -> None:
        """It works again."""
        self._until, self._pause = None, _FIRST_PAUSE

    async def wait(self, failure: Unreached) -> None:
        """Pause, or raise the failure."""
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + (self._give_up if self._give_up is not None else float("inf"))
        if now >= self._until:
            raise failure
        # Not all at the same moment: many requests may wait for the same gateway.
        pause = self._pause * random.uniform(0.7, 1.3)
        self._pause = min(self._pause * 1.6, _LONGEST_PAUSE)
        await asyncio.sleep(min(pause, self._until - now))


class Answer:
    """The head of an HTTP answer, and its body as it comes."""

    def __init__(self, response: httpx2.Response, limit: int) -> None:
        self._response = response
        self._limit = limit
        self.status = response.status_code
        self.is_stream = self.header("content-type").lower().startswith("text/event-stream")

    def header(self, name: str) -> str:
        """A header of the answer; empty when it has none of that name."""
        return self._response.headers.get(name, "")

    async def body(self) -> bytes:
        """All of it. Raises `Unreached`, `TooLarge`."""
        pieces, size = [], 0
        async with aclosing(self._chunks()) as chunks:
            async for chunk in chunks:
                pieces.append(chunk)
                size += len(chunk)
                if size > self._limit:
                    raise TooLarge
        return b"".join(pieces)

    async def events(self) -> AsyncGenerator[Event, None]:
        """The events of a stream, until it ends. Raises `Unreached`, `TooLarge`."""
        parser = Events(self._limit)
        async with aclosing(self._chunks()) as chunks:
            async for chunk in chunks:
                for event in parser.feed(chunk):
                    yield event

    async def message(self) -> Envelope | None:
        """The JSON-RPC response in it, whichever form it has. Raises `Unreached`, `Malformed`, `TooLarge`."""
        if not self.is_stream:
            return next((found for found, _ in parse_all(await self.body()) if found.is_answer), None)
        async with aclosing(self.events()) as events:
            async for event in events:
                for found, _ in parse_all(event.data) if event.data.strip() else ():
                    if found.is_answer:
                        return found
        return None

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in self._response.aiter_bytes():
                yield chunk
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise Unreached(_words(error), sent=True) from None


async def drain(events: AsyncIterator[Event]) -> None:
    """Nothing more is expected of a stream: keep its connection if the end comes soon."""
    with suppress(TimeoutError, Unreached, TooLarge):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in events:
                pass


class Endpoint:
    """One endpoint. `limit`: bytes of an answer, or of one event of a stream."""

    def __init__(self, url: str, token: str, limit: int) -> None:
        parts = urlsplit(url)
        self.url = url
        self.shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self._limit = limit
        self._has_token = bool(token)
        headers = {"User-Agent": f"callboard-bridge/{callboard.__version__}", "Accept-Encoding": "identity"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = _client(parts.hostname or "", headers)
        self._broke = 0.0

    def refusal(self, status: int) -> str:
        """What a 401 or 403 of it means, for people."""
        return refusal_of(self.shown, status, has_token=self._has_token)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def settle(self) -> None:
        """Before what cannot be repeated: when a connection just broke, the kept ones may be about to."""
        left = self._broke + _SETTLING_SECONDS - asyncio.get_running_loop().time()
        if self._broke and left > 0:
            await asyncio.sleep(left)

    @asynccontextmanager
    async def exchange(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> AsyncIterator[Answer]:
        """One request, sent once. Raises `Unreached`. Leaving the block before the body has ended aborts it."""
        try:
            request = self._http.build_request(method, self.url, headers=dict(headers), content=body)
            response = await self._http.send(request, stream=True)
        except httpx2.HTTPError as error:
            self._broke = asyncio.get_running_loop().time()
            raise Unreached(_words(error), sent=not isinstance(error, _NOT_SENT)) from None
        try:
            yield Answer(response, self._limit)
        except Unreached:
            self._broke = asyncio.get_running_loop().time()
            raise
        finally:
            with suppress(httpx2.HTTPError):
                await response.aclose()


def _client(host: str, headers: dict[str, str]) -> httpx2.AsyncClient:
    timeout = httpx2.Timeout(None, connect=_CONNECT_SECONDS)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=_KEEP_ALIVE_SECONDS)
    # A proxy of the environment cannot reach our own machine.
    if not is_loopback(host) and getproxies():
        return httpx2.AsyncClient(headers=headers, timeout=timeout, limits=limits)
    transport = httpx2.AsyncHTTPTransport(limits=limits, socket_options=_keep_alive())
    return httpx2.AsyncClient(headers=headers, timeout=timeout, transport=transport)


def _keep_alive() -> list[tuple[int, int, int]]:
    """A machine that slept finds out within a minute that its connections are gone; requests have no time-out."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def refusal_of(shown: str, status: int, *, has_token: bool) -> str:
    """What a 401 or 403 of an endpoint means, for people."""
    if status == 401 and not has_token:
        return f"{shown} wants a token, and there is none: set CALLBOARD_TOKEN, or run with --store-token once"
    return f"{shown} refused the token (HTTP {status})"


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _words(error: Exception) -> str:
    text = str(error).strip()
    return json.dumps(text)[1:-1][:200] if text else type(error).__name__
