"""One connection of the load generator: what it sends, and how it checks what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import math
import time
from array import array
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import msgspec

MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
_SAMPLES = 3
_TIMER_SECONDS = 0.001  # timers of uvloop are in whole milliseconds


class Content(msgspec.Struct):
    """A block of a result."""

    text: str = ""


class Result(msgspec.Struct):
    """What is checked of a result."""

    content: list[Content] = []
    tools: list[msgspec.Raw] = []
    is_error: bool = msgspec.field(default=False, name="isError")


class Answer(msgspec.Struct):
    """A JSON-RPC response, or a notification when both are missing."""

    id: int | str | None = None
    result: Result | None = None


_answer = msgspec.json.Decoder(Answer).decode


@dataclass(frozen=True)
class Plan:
    """What to send, where to, and for how long.

    `arguments` (a JSON object) go with every call. `expect` says what an answer must have: `text` that was sent, or
    `size:N` bytes of text, `events:N` progress notifications before it, `tools:N` in the answer to `tools/list`.
    After `per_session` calls a connection, and with it its session, makes room for another. `rate`: calls/s that are
    due whatever the answers do; 0: the next call of a connection as soon as it has its answer.
    """

    url: str
    era: str = "2026"
    conc: int = 1
    secs: float = 5.0
    warmup: float = 1.0
    tool: str = "echo"
    arg: str = "text"
    size: int = 32
    headers: tuple[str, ...] = ()
    calls: int | None = None
    grace: float = 10.0
    method: str = "tools/call"
    arguments: str = "{}"
    expect: str = "text"
    per_session: int = 2**62
    rate: float = 0.0


@dataclass
class Tally:
    """What was seen; the times are those of `perf_counter` and stay at infinity during the warm-up.

    `latencies` are of calls that began and ended in the measured window, `earlier` of those that began before it.
    """

    budget: int
    begin: float = math.inf
    end: float = math.inf
    latencies: array[float] = field(default_factory=lambda: array("d"))
    earlier: array[float] = field(default_factory=lambda: array("d"))
    errors: int = 0
    samples: list[str] = field(default_factory=list)

    def failed(self, why: str) -> None:
        """Count an error, and keep the first few reasons."""
        if time.perf_counter() >= self.begin:
            self.errors += 1
        if len(self.samples) < _SAMPLES:
            self.samples.append(why[:300])


class Requests:
    """The bytes of every request, built once."""

    def __init__(self, plan: Plan) -> None:
        parts = urlsplit(plan.url)
        if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
            raise ValueError(f"only plain HTTP on loopback, not {plan.url}")
        self.host, self.port = parts.hostname or "", parts.port or 80
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [
            f"POST {target} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            *plan.headers,
        ]
        self._head = "\r\n".join(lines).encode() + b"\r\n"
        self._modern, self._method = plan.era.startswith("2026"), plan.method
        self._call_head = self._head + self._version_lines(plan.tool)
        self.per_session = plan.per_session
        self.conc = plan.conc
        self.every = plan.conc / plan.rate if plan.rate else 0.0
        self.expect, _, number = plan.expect.partition(":")
        self.amount = int(number or 0)
        self.padding = "x" * max(0, plan.size - 12)
        text = json.dumps({"jsonrpc": "2.0", "method": plan.method, "params": self._params(plan)})
        self._after = text[1:].replace("%", "%%").replace("@", "%012d").encode()
        self._holes = self._after.count(b"%012d")

    def _params(self, plan: Plan) -> dict[str, Any]:
        """`@` stands where the number of the call goes."""
        meta: dict[str, Any] = _envelope() if self._modern else {}
        if self.expect == "events":
            meta["progressToken"] = "t@"
        params: dict[str, Any] = {"_meta": meta} if meta else {}
        if plan.method == "tools/call":
            arguments = {**json.loads(plan.arguments), plan.arg: f"@{self.padding}"}
            params |= {"name": plan.tool, "arguments": arguments}
        return params

    def _version_lines(self, tool: str) -> bytes:
        if not self._modern:
            return f"MCP-Protocol-Version: {HANDSHAKE}\r\n".encode()
        name = f"Mcp-Name: {tool}\r\n" if self._method == "tools/call" else ""
        return f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: {self._method}\r\n{name}".encode()

    def leave(self, session: bytes) -> bytes:
        """The end of a session."""
        return self._head.replace(b"POST", b"DELETE", 1) + self._version_lines("") + session + b"\r\n"

    def envelope(self, params: dict[str, Any]) -> dict[str, Any]:
        """`params` with what the era wants beside them."""
        return {"_meta": _envelope(), **params} if self._modern else params

    @property
    def modern(self) -> bool:
        """Whether this is the stateless era."""
        return self._modern

    def text(self, number: int) -> str:
        """What call `number` sends and must get back."""
        return f"{number:012}{self.padding}"

    def call(self, number: int, session: bytes) -> bytes:
        """Call `number`, head and body."""
        body = b'{"id":%d,' % number + self._after % ((number,) * self._holes)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._call_head, session, len(body), body)

    def plain(self, message: dict[str, Any], session: bytes = b"") -> bytes:
        """A message of the handshake."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        version = b"" if message["method"] == "initialize" else self._version_lines("")
        return b"%b%b%bContent-Length: %d\r\n\r\n%b" % (self._head, version, session, len(body), body)


def _envelope() -> dict[str, Any]:
    return {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


class Caller(asyncio.Protocol):
    """One connection. After the handshake each answer sends the next call, without a task switch."""

    transport: asyncio.Transport
    parser: httptools.HttpResponseParser

    def __init__(self, first: int, requests: Requests, tally: Tally) -> None:
        self.number = first
        self.left = requests.per_session
        self.requests = requests
        self.tally = tally
        self.session = b""
        self.kind = b""
        self.session_id = b""
        self.chunks: list[bytes] = []
        self.sent_at = self.due = 0.0
        self.calling = self.leaving = False
        self.finished = asyncio.get_running_loop().create_future()
        self._arrived: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected; uvloop transports do not inherit from those of asyncio."""
        self.transport = cast(asyncio.Transport, transport)
        self.parser = httptools.HttpResponseParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone, by either side."""
        self._stop(f"connection lost: {exc}" if exc else "connection closed")

    def data_received(self, data: bytes) -> None:
        """Bytes, which make the parser call the `on_` methods."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as problem:
            self._stop(f"not HTTP: {problem!r}")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the two headers that matter."""
        if len(name) == 12 and name.lower() == b"content-type":
            self.kind = value
        elif len(name) == 14 and name.lower() == b"mcp-session-id":
            self.session_id = value

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        """Go on: with the handshake, or with the next call."""
        if self.calling:
            self._answered()
        elif self.leaving:
            self._left()
        elif self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    async def handshake(self) -> None:
        """Open a session, as the 2025 era wants it."""
        info = {"name": "bench", "version": "1"}
        params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": info}
        await self._exchange(self.requests.plain({"id": 0, "method": "initialize", "params": params}), 200)
        if self.session_id:
            self.session = b"Mcp-Session-Id: %b\r\n" % self.session_id
        ready = {"method": "notifications/initialized"}
        await self._exchange(self.requests.plain(ready, self.session), 202)

    async def _exchange(self, raw: bytes, status: int) -> None:
        self._arrived = asyncio.get_running_loop().create_future()
        self.chunks = []
        self.transport.write(raw)
        await self._arrived
        got = self.parser.get_status_code()
        if got != status:
            raise ConnectionError(f"handshake answered {got}: {b''.join(self.chunks)[:200]!r}")

    def start(self, share: float = 0.0) -> None:
        """Send the first call; where calls are due at times, `share` of the time between two sets it off from others.

        The times are those of the clock and not from now: however connections come up, calls are due one by one.
        """
        self.calling = True
        every, now = self.requests.every, time.perf_counter()
        if every:
            self.due = now + (share * every - now) % every
            self._when_due()
        else:
            self._send()

    def _when_due(self) -> None:
        """A call that was due while its connection waited counts from then; that timers are late does not count."""
        now = time.perf_counter()
        if self.due <= now:
            self._send(self.due)
        else:  # what would be due after the end is not waited for
            wait = min(self.due, self.tally.end + _TIMER_SECONDS) - now
            asyncio.get_running_loop().call_later(wait, self._send)

    def _send(self, due: float = 0.0) -> None:
        if self.finished.done():
            return
        tally, now = self.tally, time.perf_counter()
        if now >= tally.end or tally.budget <= 0 or self.left <= 0:
            self._done()
            return
        tally.budget -= 1
        self.left -= 1
        self.number += 1
        self.chunks = []
        raw = self.requests.call(self.number, self.session)
        self.sent_at = due or time.perf_counter()
        self.transport.write(raw)

    def _done(self) -> None:
        """End the session, if there is one: a gateway must not be left with those of every sample."""
        self.calling = False
        if self.session:
            self.leaving = True
            self.transport.write(self.requests.leave(self.session))
        else:
            self._left()

    def _left(self) -> None:
        self.finished.set_result(None)
        self.transport.close()

    def _answered(self) -> None:
        now, tally = time.perf_counter(), self.tally
        problem = self._problem()
        if problem is not None:
            self._stop(problem)
            return
        if tally.begin <= now <= tally.end:
            seen = tally.latencies if self.sent_at >= tally.begin else tally.earlier
            seen.append(now - self.sent_at)
        if self.requests.every:
            self.due += self.requests.every
            self._when_due()
        else:
            self._send()

    def _problem(self) -> str | None:
        """What is wrong with the answer, if anything is."""
        body = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        try:
            answer = self._final(body) if self.kind.startswith(b"text/event-stream") else _answer(body)
            result = answer.result
            if (
                result is not None
                and answer.id == self.number
                and not result.is_error
                and self._expected(result, body)
                and self.parser.get_status_code() == 200
            ):
                return None
        except (msgspec.MsgspecError, IndexError) as problem:
            return f"{self.parser.get_status_code()} {problem}: {body[:200]!r}"
        return f"{self.parser.get_status_code()} wrong answer: {body[:200]!r}"

    def _expected(self, result: Result, body: bytes) -> bool:
        expect, amount = self.requests.expect, self.requests.amount
        if expect == "text":
            return result.content[0].text == self.requests.text(self.number)
        if expect == "events":
            return body.count(b"notifications/progress") == amount
        return len(result.tools if expect == "tools" else result.content[0].text) == amount

    def _final(self, body: bytes) -> Answer:
        """The event with a result, or an empty answer."""
        for line in body.splitlines():
            if line.startswith(b"data:") and line[5:].strip():
                answer = _answer(line[5:])
                if answer.id == self.number:
                    return answer
        return Answer()

    def _stop(self, why: str) -> None:
        """Give the connection up; a call in flight counts as an error."""
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_exception(ConnectionError(why))
        if self.finished.done():
            return
        if self.calling:
            self.tally.failed(why)
        self.calling = False
        self.finished.set_result(None)
        self.transport.close()

    def give_up(self) -> None:
        """Stop waiting: the run is over."""
        self._stop("no answer")
