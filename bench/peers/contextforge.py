"""IBM ContextForge with tokens, over SQLite: one virtual server with the tools of one registered gateway."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from bench.peers.launch import NotStarted, answering, free_port, launched
from bench.peers.peer import HANDSHAKE, HTTP, Endpoint, Package, Peer, Place

_ADMIN = "admin@example.com"
_START_SECONDS = 90.0


def _settings(folder: Path, port: int, secret: str, encryption: str, word: str) -> dict[str, str]:
    password = f"Aa1!{word}"
    return {
        "DATABASE_URL": f"sqlite:///{folder / 'mcp.db'}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "JWT_SECRET_KEY": secret,
        "AUTH_ENCRYPTION_SECRET": encryption,
        "BASIC_AUTH_PASSWORD": password,
        "PLATFORM_ADMIN_EMAIL": _ADMIN,
        "PLATFORM_ADMIN_PASSWORD": password,
        "DEFAULT_USER_PASSWORD": password,
        "PASSWORD_CHANGE_ENFORCEMENT_ENABLED": "false",
        "ADMIN_REQUIRE_PASSWORD_CHANGE_ON_BOOTSTRAP": "false",
        "USE_STATEFUL_SESSIONS": "true",
        "JSON_RESPONSE_ENABLED": "true",
        "CACHE_TYPE": "memory",
        # By default it refuses whoever asks more than 100 times a minute, and then for a quarter of an hour.
        "RATE_LIMITING_ENABLED": "false",
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
        "MCPGATEWAY_UI_ENABLED": "false",
        "MCPGATEWAY_ADMIN_API_ENABLED": "false",
        "PLUGINS_ENABLED": "false",
        # What it would write down of every call; its documentation says how to do without.
        "TOKEN_USAGE_LOGGING_ENABLED": "false",
        "DB_METRICS_RECORDING_ENABLED": "false",
        "METRICS_AGGREGATION_ENABLED": "false",
        "STRUCTURED_LOGGING_ENABLED": "false",
        "COMPRESSION_ENABLED": "false",
        "LOG_LEVEL": "ERROR",
    }


@asynccontextmanager
async def _start(place: Place, kinds: Sequence[str]) -> AsyncIterator[dict[str, Endpoint]]:
    """In a place where it ran before it has its upstream and its virtual server, and the secrets of then."""
    port, kept = free_port(), place.folder / "made.json"
    made: dict[str, Any] = {"secrets": [secrets.token_urlsafe(24) for _ in range(3)]}
    if kept.exists():
        made = json.loads(kept.read_text())
    programs, url = place.package / "venv" / "bin", f"http://127.0.0.1:{port}"
    secret, *others = made["secrets"]
    settings = _settings(place.folder, port, secret, *others)
    words = [str(programs / "mcpgateway"), "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    async with launched([*words, "--no-access-log"], place.folder, settings) as process:
        token = await _token(programs, secret)
        async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
            await _healthy(http, process, place.folder)
            if "tool" not in made:
                made["server"], made["tool"] = await _registered(http, place.upstream.url)
                kept.write_text(json.dumps(made))
        where, header = f"{url}/servers/{made['server']}/mcp/", f"Authorization: Bearer {token}"
        endpoint = Endpoint(where, process.pid, made["tool"], (header,))
        await answering(endpoint, HANDSHAKE, process, place.folder)
        yield {HTTP: endpoint}


async def _token(programs: Path, secret: str) -> str:
    maker = await asyncio.create_subprocess_exec(
        str(programs / "python"),
        *("-m", "mcpgateway.utils.create_jwt_token", "--username", _ADMIN, "--exp", "600", "--secret", secret),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"JWT_SECRET_KEY": secret, "PATH": "/usr/bin:/bin"},
    )
    printed, _ = await maker.communicate()
    return printed.decode().strip().splitlines()[-1]


async def _healthy(http: httpx2.AsyncClient, process: asyncio.subprocess.Process, folder: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while process.returncode is None and time.monotonic() < until:
        try:
            if (await http.get("/health")).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        await asyncio.sleep(0.1)
    said = " ".join((folder / "output.log").read_text(errors="replace").split())[-400:]
    raise NotStarted(f"not healthy after {_START_SECONDS:.0f} s; its last words: {said}")


async def _registered(http: httpx2.AsyncClient, upstream: str) -> tuple[str, str]:
    """Register the upstream, and a virtual server with its tool `echo`: the ids of the server and the tool's name."""
    await _created(http, "/gateways", {"name": "bench", "url": upstream, "transport": "STREAMABLEHTTP"})
    tools = (await http.get("/tools", params={"limit": 0})).json()
    listed = tools if isinstance(tools, list) else tools.get("tools", [])
    tool = next(one for one in listed if one.get("originalName") == "echo")
    server = {"name": "bench", "description": "the tools of the echo server", "associated_tools": [tool["id"]]}
    made = await _created(http, "/servers", {"server": server})
    return str(made["id"]), str(tool["name"])


async def _created(http: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await http.post(path, json=body)
    if answer.status_code not in (200, 201):
        raise NotStarted(f"{path} answered {answer.status_code}: {answer.text[:300]}")
    found: dict[str, Any] = answer.json()
    return found


CONTEXTFORGE = (
    Peer(
        name="ContextForge",
        about="tokens required, stateful sessions, JSON answers, cache in memory, SQLite, logs only errors, "
        "no plugins, no rate limit, no records of calls, no compression",
        start=_start,
        package=Package("pypi", "mcp-contextforge-gateway", "1.0.7"),
        full=True,
        keeps=True,
        lacks={
            "stdio": "it takes HTTP and SSE upstreams; for stdio its documentation starts a bridge beside it",
            "2026": "it answers that it supports 2024-11-05 to 2025-11-25",
        },
    ),
)
