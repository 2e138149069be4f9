"""The official client, as an agent uses it: against an endpoint of Callboard, with a token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.names import fresh
from tests.support.stack import Stack

MODES = ("auto", "legacy")
"""`auto` speaks 2026-07-28 to Callboard, `legacy` 2025-11-25."""


@asynccontextmanager
async def agent(url: str, token: str, mode: str, **options: Any) -> AsyncIterator[Client]:
    """A connected client."""
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, **options) as client:
            yield client


async def published(stack: Stack, text: str) -> tuple[str, str]:
    """An organisation of its own with this file applied (ORG stands for its name): (name, token)."""
    organisation = fresh("org")
    await stack.apply(text.replace("ORG", organisation))
    return organisation, await stack.token(organisation)


def one_server(server: dict[str, Any], names: str = "bare") -> str:
    """A file with playbook `p` over one server."""
    body = {
        "version": 1,
        "organisation": "ORG",
        "servers": {"up": server},
        "playbooks": {"p": {"servers": {"up": {"names": names}}}},
    }
    return json.dumps(body)
