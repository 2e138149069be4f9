"""MCP clients that keep every byte they get: over HTTP in either era, and over stdio straight to an upstream."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.fidelity.exact import member, members
from tests.fidelity.rewrites import Era
from tests.support.upstreams.launch import command, die_with_parent

_LIMIT = 64 * 1024 * 1024
_BREAKS = re.compile(rb"\r\n|\r|\n")
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
WITHIN = 60.0


@dataclass
class Answer:
    """What came for one request. `outcome`: `result` or `error`; `body`: its bytes; `envelope`: what stood around."""

    status: int
    notifications: list[bytes]
    outcome: str
    body: bytes
    envelope: dict[str, str] = field(default_factory=dict)


def answer_of(status: int, messages: list[bytes]) -> Answer:
    """The messages of one request; the last one ends it."""
    last = messages[-1] if messages else b""
    try:
        parts = dict(members(last))
    except (ValueError, IndexError, RecursionError):
        raise AssertionError(f"not a JSON-RPC message (HTTP {status}): {last[:300]!r}") from None
    outcome = "result" if "result" in parts else "error"
    body = parts.pop(outcome, "").encode()
    return Answer(status, messages[:-1], outcome, body, parts)


class Http:
    """A client of one endpoint. One connection, one request at a time."""

    def __init__(self, url: str, era: Era, capabilities: str = "{}", *, streams: bool = False) -> None:
        parts = urlsplit(url)
        self.url = url
        assert parts.hostname is not None
        self._at = (parts.hostname, parts.port or 80)
        self._path = parts.path
        self.era: Era = era
        self.capabilities = capabilities
        kinds = ["application/json", "text/event-stream"]
        self._accept = ", ".join(reversed(kinds) if streams else kinds)
        self._session = ""
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, params: str, id: str = "1") -> Answer:
        """One request; `params` is a JSON object as it shall be sent, `_meta` of the stateless era included."""
        headers = {"Accept": self._accept, "Content-Type": "application/json"}
        if self.era == "2026":
            headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
            named = member(params.encode(), _NAMED.get(method, ""))
            if named is not None:
                headers["Mcp-Name"] = _header(json.loads(named))
        elif not self._session:
            await self._open(headers)
        if self._session:
            headers |= {"MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": self._session}
        body = f'{{"jsonrpc":"2.0","id":{id},"method":{json.dumps(method)},"params":{params}}}'
        status, got, data = await self._post(headers, body.encode())
        sse = got.get(b"content-type", b"").startswith(b"text/event-stream")
        return answer_of(status, events(data) if sse else [data])

    async def _open(self, headers: dict[str, str]) -> None:
        params = (
            f'{{"protocolVersion":"2025-11-25","capabilities":{self.capabilities},'
            '"clientInfo":{"name":"fidelity","version":"1"}}'
        )
        body = f'{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}'
        status, got, data = await self._post(headers, body.encode())
        assert status == 200, data
        self._session = got[b"mcp-session-id"].decode()
        said = {**headers, "Mcp-Session-Id": self._session}
        await self._post(said, b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        # Everything: a client that names no level hears less once another one of the same server has named one.
        level = b'{"jsonrpc":"2.0","id":0,"method":"logging/setLevel","params":{"level":"debug"}}'
        await self._post(said, level)

    async def _post(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        lines = [f"POST {self._path} HTTP/1.1", f"Host: {self._at[0]}:{self._at[1]}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        async with asyncio.timeout(WITHIN):
            if self._writer is None or self._writer.is_closing() or (self._reader and self._reader.at_eof()):
                await self.close()
                self._reader, self._writer = await asyncio.open_connection(*self._at, limit=_LIMIT)
            assert self._reader is not None
            self._writer.write(data)
            await self._writer.drain()
            return await _response(self._reader)

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


async def _response(reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes], bytes]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    status = int(first.split()[1])
    if headers.get(b"transfer-encoding") != b"chunked":
        return status, headers, await reader.readexactly(int(headers.get(b"content-length", b"0")))
    pieces = []
    while size := int((await reader.readline()).strip(), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return status, headers, b"".join(pieces)


def events(body: bytes) -> list[bytes]:
    """The data of the events of a whole stream (WHATWG HTML, section 9.2)."""
    found, data = [], []
    for line in _BREAKS.split(body):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif not line and data:
            # An event without data is dispatched to nobody: it only says from where a stream can be resumed.
            if any(data):
                found.append(b"\n".join(data))
            data = []
    return found


def _header(value: str) -> str:
    """A value of a header that mirrors the body (MCP 2026-07-28, basic/transports)."""
    plain = value.isascii() and value.isprintable() and value == value.strip() and value[:9] != "=?base64?"
    return value if plain else f"=?base64?{base64.b64encode(value.encode()).decode()}?="


class Stdio:
    """A client that starts the upstream itself."""

    def __init__(self, era: Era) -> None:
        self.era: Era = era
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, method: str, params: str, id: str = "1") -> Answer:
        """One request; line breaks between its tokens become spaces, because each message is a line."""
        if self._process is None:
            await self._open()
        body = f'{{"jsonrpc":"2.0","id":{id},"method":{json.dumps(method)},"params":{params}}}'
        async with asyncio.timeout(WITHIN):
            messages = await self._exchange(body)
        return answer_of(200, messages)

    async def _open(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *command("scripted", "--era", self.era, "--stdio"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LIMIT,
            preexec_fn=die_with_parent(),
        )
        if self.era == "2025":
            await self._exchange('{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}')

    async def _exchange(self, body: str) -> list[bytes]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(re.sub(r"[\r\n]", " ", body).encode() + b"\n")
        await process.stdin.drain()
        messages: list[bytes] = []
        while True:
            line = (await process.stdout.readline()).removesuffix(b"\n")
            assert line, "the upstream ended"
            found = {key for key, _ in members(line)}
            if b"/list_changed" not in line[:100]:
                messages.append(line)
            if "id" in found and "method" not in found:
                return messages

    async def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process._transport.close()  # type: ignore[attr-defined]  # the pipes, before the loop is closed


Client = Http | Stdio
