"""A handshake session by hand, and streams that are read in the background until they end or are broken off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.support.waiting import PATIENCE, eventually, promised

ACCEPT = "application/json, text/event-stream"


@dataclass(frozen=True)
class Event:
    """One server-sent event as it stood on the wire."""

    id: str
    retry: int | None
    data: str

    @property
    def message(self) -> dict[str, Any]:
        """The JSON-RPC message in it; empty for an event without data."""
        found: dict[str, Any] = json.loads(self.data) if self.data else {}
        return found


def events_in(text: str) -> list[Event]:
    """The whole events of a stream; comments are left out."""
    found = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            retry = int(fields["retry"]) if "retry" in fields else None
            found.append(Event(fields.get("id", ""), retry, fields.get("data", "")))
    return found


def answered(response: httpx2.Response) -> dict[str, Any]:
    """The answer to a request: the body, or the last message of a stream, which an answer that takes long becomes."""
    if response.headers["content-type"].startswith("text/event-stream"):
        return events_in(response.text)[-1].message
    found: dict[str, Any] = response.json()
    return found


class Reading:
    """A stream that is being read: its events so far, and whether it is over."""

    def __init__(self, url: str, headers: dict[str, str], body: Any = None) -> None:
        self.status = 0
        self.text = ""
        self.over = asyncio.Event()
        self._task = asyncio.ensure_future(self._read(url, headers, body))

    async def _read(self, url: str, headers: dict[str, str], body: Any) -> None:
        verb = "GET" if body is None else "POST"
        try:
            async with (
                httpx2.AsyncClient(timeout=60) as http,
                http.stream(verb, url, headers=headers, json=body) as answer,
            ):
                self.status = answer.status_code
                async for part in answer.aiter_text():
                    self.text += part
        except httpx2.TransportError:
            pass  # the other side was killed
        self.over.set()

    @property
    def events(self) -> list[Event]:
        return events_in(self.text)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [event.message for event in self.events if event.data]

    async def heard(self, wanted: Callable[[Event], bool], within: float = PATIENCE) -> Event:
        """The first event that is wanted."""
        await eventually(lambda: any(wanted(event) for event in self.events), within=within)
        return next(event for event in self.events if wanted(event))

    async def end(self, within: float = PATIENCE) -> list[Event]:
        """All events, once the server has ended the stream, as is promised within that time."""
        await promised(self.over.is_set, within)
        return self.events

    async def break_off(self) -> None:
        """Close the connection, as a network does."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class HandshakeSession:
    """One session of an agent that speaks 2025-11-25, on whatever edge each request goes to."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers

    @classmethod
    async def open(
        cls, url: str, token: str, capabilities: dict[str, Any] | None = None, version: str = "2025-11-25"
    ) -> HandshakeSession:
        headers = {"Authorization": f"Bearer {token}", "Accept": ACCEPT}
        hello = {
            "protocolVersion": version,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
            answer = await http.post(url, json=body, headers=headers)
        return cls({**headers, "Mcp-Session-Id": answer.headers["mcp-session-id"], "MCP-Protocol-Version": version})

    async def post(self, url: str, message: dict[str, Any]) -> httpx2.Response:
        """A message that is answered at once."""
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            return await http.post(url, json={"jsonrpc": "2.0", **message}, headers=self.headers)

    def call(self, url: str, tool: str, arguments: dict[str, Any] | None = None, id: int | str = 1) -> Reading:
        """A call of a tool whose answer may be a stream."""
        params = {"name": tool, "arguments": arguments or {}, "_meta": {"progressToken": "p"}}
        body = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}
        return Reading(url, self.headers, body)

    def listen(self, url: str, after: str = "") -> Reading:
        """GET: the session's own stream, or the rest of the stream of an event."""
        return Reading(url, {**self.headers, **({"Last-Event-ID": after} if after else {})})
