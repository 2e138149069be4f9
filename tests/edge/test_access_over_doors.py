"""OAuth access tokens over the streaming doors: used over each in its eras, and ended by expiry and revocation."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from callboard.kernel.access_tokens import LEEWAY_SECONDS, resource_url
from tests.edge.gateway import Gateway, running_gateway
from tests.edge.issuing import principal
from tests.support.stack import META
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("access-over-doors")]
HELLO = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
CALL = {"name": "echo", "arguments": {"text": "x"}}
PLACE = "/p/acme/start"
MODERN_SOCKET, OLD_SOCKET, STREAM = "socket-2026", "socket-2025", "stream-2024"
DOORS = (MODERN_SOCKET, OLD_SOCKET, STREAM)
SOON = 2.0
"""Seconds within which a revocation is felt."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path_factory.mktemp("doors")) as running:
        yield running


@pytest.fixture(autouse=True)
def grant(gateway: Gateway) -> None:
    gateway.issuer.grants["g1"] = principal("g1")
    gateway.heads.clear()


class Door:
    """An open connection. `ask` answers a request of its era; `ended` returns when the connection is over."""

    def __init__(self, ask: Callable[..., Awaitable[dict[str, Any]]], ended: Callable[[], Awaitable[Any]]) -> None:
        self._ask = ask
        self._ended = ended

    async def call(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            return await self._ask("tools/call", CALL)

    async def ended(self, within: float) -> Any:
        async with asyncio.timeout(within):
            return await self._ended()


@asynccontextmanager
async def opened(door: str, gateway: Gateway, token: str, **options: Any) -> AsyncIterator[Door]:
    if door == STREAM:
        async with _stream(gateway, token) as stream:
            yield stream
        return
    url = gateway.url.replace("http", "ws", 1) + f"{PLACE}/ws"
    subprotocols = [Subprotocol("mcp"), *options.pop("subprotocols", [])]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect(url, subprotocols=subprotocols, additional_headers=headers) as socket:
        ask = _asking(socket, modern=door == MODERN_SOCKET)
        if door == OLD_SOCKET:
            assert (await ask("initialize", HELLO))["result"]["protocolVersion"] == "2024-11-05"
        yield Door(ask, lambda: _closed(socket))


def _asking(socket: ClientConnection, *, modern: bool) -> Callable[..., Awaitable[dict[str, Any]]]:
    async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
        whole = {"_meta": META, **params} if modern else params
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": whole}))
        answer: dict[str, Any] = json.loads(await socket.recv())
        return answer

    return ask


async def _closed(socket: ClientConnection) -> int | None:
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as end:
        return end.rcvd.code if end.rcvd is not None else None


@asynccontextmanager
async def _stream(gateway: Gateway, token: str) -> AsyncIterator[Door]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http,
        http.stream("GET", f"{gateway.url}{PLACE}/sse") as answer,
    ):
        if answer.status_code != 200:
            raise Refused(answer.status_code, answer.headers["www-authenticate"])
        lines = answer.aiter_lines()
        place = gateway.url + await _data(lines)

        async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            posted = await http.post(place, json=body)
            assert posted.status_code == 202
            found: dict[str, Any] = json.loads(await _data(lines))
            return found

        async def ended() -> None:
            async for _ in lines:
                pass

        assert "result" in await ask("initialize", HELLO)
        yield Door(ask, ended)


async def _data(lines: AsyncIterator[str]) -> str:
    async for line in lines:
        if line.startswith("data: "):
            return line.removeprefix("data: ")
    raise AssertionError("the stream ended")


class Refused(Exception):
    """The status that a door answered, and its challenge."""

    def __init__(self, status: int, challenge: str) -> None:
        super().__init__(status)
        self.status = status
        self.challenge = challenge


async def refused(door: str, gateway: Gateway, token: str) -> tuple[int, str]:
    try:
        async with opened(door, gateway, token):
            raise AssertionError("it was opened")
    except InvalidStatus as refusal:
        return refusal.response.status_code, refusal.response.headers["www-authenticate"]
    except Refused as refusal:
        return refusal.status, refusal.challenge


@pytest.mark.parametrize("door", DOORS)
async def test_a_call_is_made_with_an_access_token_in_the_name_of_its_grant(gateway: Gateway, door: str) -> None:
    gateway.issuer.grants["g1"] = principal("g1", client="agent-of-m1")
    async with opened(door, gateway, gateway.issuer.token()) as there:
        assert "result" in await there.call()
    head, params = next((head, params) for head, params in gateway.heads if head.method == "tools/call")
    assert (head.principal, head.client, head.anonymous) == ("g1", "agent-of-m1", False)
    assert (head.era == "2026-07-28") is (door == MODERN_SOCKET)
    assert json.loads(params)["arguments"] == {"text": "x"}


@pytest.mark.parametrize("door", [MODERN_SOCKET, OLD_SOCKET])
async def test_a_session_token_made_with_an_access_token_opens_a_socket_in_its_name(
    gateway: Gateway, door: str
) -> None:
    answer = await gateway.request("POST", f"{PLACE}/ws", gateway.issuer.token())
    assert answer.status_code == 200
    offered = [Subprotocol(answer.json()["subprotocols"][1])]
    async with opened(door, gateway, "", subprotocols=offered) as there:
        assert "result" in await there.call()
        assert gateway.heads[-1][0].principal == "g1"
        await gateway.revoke("g1")
        assert await there.ended(SOON) == 4401


@pytest.mark.parametrize("door", DOORS)
async def test_an_open_connection_ends_when_its_grant_is_revoked(gateway: Gateway, door: str) -> None:
    gateway.issuer.grants["other"] = principal("other")
    other = gateway.issuer.token(gid="other")
    async with (
        opened(door, gateway, gateway.issuer.token()) as there,
        opened(door, gateway, other) as elsewhere,
    ):
        assert "result" in await there.call()
        await gateway.revoke("g1")
        code = await there.ended(SOON)
        assert code == (None if door == STREAM else 4401)
        assert "result" in await elsewhere.call(), "another grant goes on"


@pytest.mark.parametrize("door", DOORS)
async def test_an_open_connection_ends_with_its_access_token(gateway: Gateway, door: str) -> None:
    left = 2
    token = gateway.issuer.token(exp=int(time.time()) + left - LEEWAY_SECONDS)
    async with opened(door, gateway, token) as there:
        assert "result" in await there.call()
        code = await there.ended(left + SOON)
        assert code == (None if door == STREAM else 4401)
    assert (await refused(door, gateway, token))[0] == 401


@pytest.mark.parametrize("door", DOORS)
async def test_while_it_is_good_a_connection_stays(gateway: Gateway, door: str) -> None:
    """What the tests above would see of any connection, if it ended for another reason."""
    async with opened(door, gateway, gateway.issuer.token()) as there:
        assert "result" in await there.call()
        with pytest.raises(TimeoutError):
            await there.ended(0.5)


@pytest.mark.parametrize("door", [MODERN_SOCKET, STREAM])
@pytest.mark.parametrize("audience", [("acme", "other"), ()])
async def test_a_token_for_another_place_opens_no_door(gateway: Gateway, door: str, audience: tuple[str, ...]) -> None:
    token = gateway.issuer.token(aud=resource_url(gateway.url, *audience))
    status, challenge = await refused(door, gateway, token)
    assert status == 401
    assert 'error="invalid_token"' in challenge
    assert gateway.heads == []


async def test_a_stream_takes_no_post_with_the_token_of_another_place_or_grant(gateway: Gateway) -> None:
    gateway.issuer.grants["other"] = principal("other")
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        mine = {"Authorization": f"Bearer {gateway.issuer.token()}"}
        async with http.stream("GET", f"{gateway.url}{PLACE}/sse", headers=mine) as answer:
            lines = answer.aiter_lines()  # the stream is closed with it
            place = gateway.url + await _data(lines)
            ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            elsewhere = gateway.issuer.token(aud=resource_url(gateway.url, "acme", "other"))
            renewed, other = gateway.issuer.token(jti="j2"), gateway.issuer.token(gid="other")
            statuses = [
                (await http.post(place, json=ping, headers={"Authorization": f"Bearer {token}"})).status_code
                for token in (elsewhere, other, renewed)
            ]
            assert statuses == [401, 404, 202], "a renewed token of the same grant goes on"
