"""Long-lived streams end when what they stand on ends, and no message comes twice."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.support.agents import one_server, published
from tests.support.stack import META, Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, promised

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


async def session_of(url: str, token: str) -> dict[str, str]:
    """The headers of a fresh handshake session."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
        answer = await http.post(url, json=body, headers=headers)
    return {**headers, "Mcp-Session-Id": answer.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}


class Stream:
    """A stream that is read in the background: what came, and whether it is over."""

    def __init__(self, verb: str, url: str, headers: dict[str, str], body: Any = None) -> None:
        self.text = ""
        self.open = asyncio.Event()
        self.over = asyncio.Event()
        self._task = asyncio.ensure_future(self._read(verb, url, headers, body))

    async def _read(self, verb: str, url: str, headers: dict[str, str], body: Any) -> None:
        async with (
            httpx2.AsyncClient(timeout=60) as http,
            http.stream(
                verb, url, headers={**headers, "Accept": "text/event-stream, application/json"}, json=body
            ) as s,
        ):
            async for part in s.aiter_text():
                self.text += part
                self.open.set()
        self.over.set()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_a_deleted_session_takes_its_stream_with_it_at_every_edge(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        headers = await session_of(stack.endpoint(organisation, "p"), token)
        stream = Stream("GET", stack.endpoint(organisation, "p", stack.replicas - 1), headers)
        await asyncio.wait_for(stream.open.wait(), PATIENCE)
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            assert (await http.delete(stack.endpoint(organisation, "p"), headers=headers)).status_code == 204
        await promised(stream.over.is_set, within=5)
        await stream.close()


async def test_a_session_has_one_stream_the_newest(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        headers = await session_of(stack.endpoint(organisation, "p"), token)
        first = Stream("GET", stack.endpoint(organisation, "p", stack.replicas - 1), headers)
        await asyncio.wait_for(first.open.wait(), PATIENCE)
        second = Stream("GET", stack.endpoint(organisation, "p"), headers)
        await asyncio.wait_for(second.open.wait(), PATIENCE)
        await promised(first.over.is_set, within=5)
        assert not second.over.is_set()
        await first.close()
        await second.close()


def listening(url: str, token: str) -> Stream:
    """A stream of the stateless era."""
    headers = {
        "Authorization": f"Bearer {token}",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "subscriptions/listen",
    }
    params = {"_meta": META, "notifications": {"toolsListChanged": True}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
    return Stream("POST", url, headers, body)


async def test_a_revoked_token_takes_its_streams_with_it(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, _ = await published(stack, one_server({"url": upstream.url}))
        issued = await stack.cli_json("token", "issue", "agent-2", "--org", organisation)
        stream = listening(stack.endpoint(organisation, "p", stack.replicas - 1), issued["token"])
        await asyncio.wait_for(stream.open.wait(), PATIENCE)
        await stack.cli("token", "revoke", issued["key_id"], "--org", organisation)
        await promised(stream.over.is_set, within=5)
        await stream.close()


async def test_a_token_that_expires_takes_its_streams_with_it(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, _ = await published(stack, one_server({"url": upstream.url}))
        url = stack.endpoint(organisation, "p", stack.replicas - 1)
        token = await stack.token(organisation, "short", "--expires", "4s")
        streams = [Stream("GET", url, await session_of(url, token)), listening(url, token)]
        for stream in streams:
            await promised(stream.open.is_set, within=3)
        for stream in streams:
            await promised(stream.over.is_set, within=6)
            await stream.close()


async def test_an_introduction_that_is_too_long_is_refused(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, token = await published(stack, one_server({"url": upstream.url}))
        params = {**HELLO, "clientInfo": {"name": "x" * 100_000, "version": "1"}}
        async with httpx2.AsyncClient(timeout=PATIENCE, headers={"Authorization": f"Bearer {token}"}) as http:
            body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
            answer = await http.post(stack.endpoint(organisation, "p"), json=body)
        assert answer.json()["error"]["code"] == -32602
