"""A client that speaks bare JSON-RPC over Streamable HTTP in either era, at any edge, and shows every message."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.support.stack import META, Stack
from tests.support.waiting import eventually

ERAS = ("2025", "2026")
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


@dataclass
class Heard:
    """What came back for one request: the status, and every message in order."""

    status: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def answer(self) -> dict[str, Any]:
        return next(message for message in reversed(self.messages) if "method" not in message)

    @property
    def result(self) -> dict[str, Any]:
        assert "result" in self.answer, self.answer
        found: dict[str, Any] = self.answer["result"]
        return found

    @property
    def error(self) -> dict[str, Any]:
        assert "error" in self.answer, self.answer
        found: dict[str, Any] = self.answer["error"]
        return found

    @property
    def text(self) -> str:
        return str(self.result["content"][0]["text"])

    def notified(self, method: str) -> list[dict[str, Any]]:
        return [message["params"] for message in self.messages if message.get("method") == method]


class Speaker:
    """One client. In the 2025 era it has a session, which every edge knows."""

    def __init__(self, http: httpx2.AsyncClient, urls: list[str], token: str, era: str) -> None:
        self.http = http
        self.urls = urls
        self.era = era
        self.headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        self._ids = itertools.count(1)

    @property
    def url(self) -> str:
        """Some edge; nothing is sticky."""
        return random.choice(self.urls)

    async def open(self) -> None:
        if self.era == "2026":
            self.headers["MCP-Protocol-Version"] = "2026-07-28"
            return
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        answer = await self.http.post(self.url, json=body, headers=self.headers)
        self.headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
        self.headers["MCP-Protocol-Version"] = "2025-11-25"

    def next_id(self) -> int:
        return next(self._ids)

    def framed(self, method: str, params: dict[str, Any], id: int) -> tuple[dict[str, Any], dict[str, str]]:
        """Body and headers of a request."""
        headers = dict(self.headers)
        params = dict(params)
        if self.era == "2026":
            params["_meta"] = {**META, **params.get("_meta", {})}
            headers["Mcp-Method"] = method
            named = params.get(NAMED.get(method, ""))
            if isinstance(named, str):
                headers["Mcp-Name"] = named
        return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}, headers

    async def ask(self, method: str, id: int | None = None, heard: Heard | None = None, **params: Any) -> Heard:
        """One request to its end. `heard` fills while it runs."""
        body, headers = self.framed(method, params, self.next_id() if id is None else id)
        heard = Heard() if heard is None else heard
        async with self.http.stream("POST", self.url, json=body, headers=headers) as answer:
            heard.status = answer.status_code
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                async for line in answer.aiter_lines():
                    if line.startswith("data:") and line[5:].strip():
                        heard.messages.append(json.loads(line[5:]))
            else:
                heard.messages.append(json.loads(await answer.aread()))
        return heard

    async def call(self, tool: str, arguments: dict[str, Any] | None = None, **more: Any) -> Heard:
        return await self.ask("tools/call", name=tool, arguments=arguments or {}, **more)

    async def tell(self, method: str, **params: Any) -> None:
        body = {"jsonrpc": "2.0", "method": method, "params": params}
        answer = await self.http.post(self.url, json=body, headers=self.headers)
        assert answer.status_code == 202

    @asynccontextmanager
    async def listening(self, resources: list[str] | None = None) -> AsyncIterator[Heard]:
        """The stream on which the server speaks by itself: GET, or `subscriptions/listen` for everything there is."""
        heard = Heard()
        task = asyncio.ensure_future(self._listen(heard, resources or []))
        try:
            await eventually(lambda: heard.status == 200)
            yield heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self, heard: Heard, resources: list[str]) -> None:
        if self.era == "2026":
            kinds = {f"{kind}ListChanged": True for kind in ("tools", "prompts", "resources")}
            wanted = {**kinds, "resourceSubscriptions": resources}
            await self.ask("subscriptions/listen", heard=heard, notifications=wanted)
            return
        for uri in resources:
            assert (await self.ask("resources/subscribe", uri=uri)).result == {}
        async with self.http.stream("GET", self.url, headers=self.headers) as answer:
            heard.status = answer.status_code
            async for line in answer.aiter_lines():
                if line.startswith("data:") and line[5:].strip():
                    heard.messages.append(json.loads(line[5:]))


@asynccontextmanager
async def speaker(stack: Stack, organisation: str, token: str, era: str, playbook: str = "p") -> AsyncIterator[Speaker]:
    """A connected client that uses all edges of the stack."""
    urls = [stack.endpoint(organisation, playbook, edge) for edge in range(stack.replicas)]
    async with httpx2.AsyncClient(timeout=60) as http:
        one = Speaker(http, urls, token, era)
        await one.open()
        yield one
