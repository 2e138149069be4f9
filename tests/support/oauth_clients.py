"""Official clients that get their tokens by OAuth, and the person who lets them in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.support import node_tools
from tests.support.loopback import Loopback
from tests.support.persons import Person, Visitor

Open = Callable[[str], Awaitable[None]]
"""What a client does with the URL for the person's browser."""


class Kept:
    """What a client has to remember (the `TokenStorage` of the SDK)."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def provider_of(url: str, waiting: Loopback, kept: Kept, open_url: Open, name: str = "Py") -> OAuthClientProvider:
    """The official client's part; the person's browser comes back to `waiting`."""

    async def came_back() -> AuthorizationCodeResult:
        answer = await waiting.answer()
        if "error" in answer:
            raise PermissionError(answer["error"])
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    metadata = OAuthClientMetadata(
        client_name=name,
        redirect_uris=[AnyUrl(waiting.redirect_uri)],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    return OAuthClientProvider(url, metadata, kept, open_url, came_back)


@asynccontextmanager
async def connected(
    url: str, provider: OAuthClientProvider, mode: str = "auto", **options: Any
) -> AsyncIterator[Client]:
    """The official client with OAuth. `mode` as in `tests.support.agents`."""
    async with (
        httpx2.AsyncClient(auth=provider, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, **options) as client,
    ):
        yield client


async def decided(visitor: Visitor, person: Person, url: str, decision: str = "allow", reading: str = "") -> str:
    """The person opens the URL of a client, signs in where asked, and decides; where the browser is sent.

    `reading`: what the question says, among other things.
    """
    page = await visitor.get(url)
    while page.status_code in (302, 303, 307):
        there = urljoin(str(page.url), page.headers["location"])
        login = there.partition("?")[0].endswith("/login")
        page = await visitor.log_in(page, person) if login else await visitor.get(there)
    assert page.status_code == 200, page.text
    assert reading in page.text
    answer = await visitor.submit(page, decision=decision)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


class TypeScript:
    """The official TypeScript client in a process of its own (`node/oauth.mjs`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self) -> dict[str, Any]:
        """Its next line."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        if not line:
            assert self._process.stderr is not None
            raise AssertionError((await self._process.stderr.read()).decode()[-3000:])
        found: dict[str, Any] = json.loads(line)
        return found


@asynccontextmanager
async def typescript(package: str, url: str, *more: str) -> AsyncIterator[TypeScript]:
    """Start it; `package` is "sdk" or "client". `more`: "step-up"."""
    await asyncio.to_thread(node_tools.installed)
    process = await asyncio.create_subprocess_exec(
        node_tools.node(),
        str(node_tools.FOLDER / "oauth.mjs"),
        package,
        url,
        *more,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield TypeScript(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
