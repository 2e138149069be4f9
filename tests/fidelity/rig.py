"""A running Callboard with an upstream of every era over every transport, asked directly and through the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.fidelity.clients import Client, Http, Stdio
from tests.fidelity.exact import items, member
from tests.fidelity.rewrites import Era
from tests.support.stack import Stack, running_stack
from tests.support.upstreams.launch import command, running
from tests.support.upstreams.scripted import KINDS, Lists
from tests.support.waiting import eventually

Transport = Literal["http", "stdio"]
ORGANISATION = "fidelity"
CAPABLE = '{"sampling":{},"elicitation":{"form":{}},"roots":{}}'
"""Capabilities of a client that can be asked: a handshake upstream then gets a session of this client's own."""


@dataclass
class Route:
    """One way of a client through the gateway. `capable`: the server may ask it; `streams`: it prefers events."""

    client: Http
    era: Era
    capable: bool = False
    streams: bool = False


@dataclass
class Leg:
    """One upstream: the client that asks it directly, and those that ask through the gateway."""

    era: Era
    transport: Transport
    direct: Client
    routes: list[Route]
    bare: Http
    prefix: str
    published: int = 0

    @property
    def name(self) -> str:
        return f"{self.transport}-{self.era}"

    @property
    def stdio(self) -> bool:
        return self.transport == "stdio"


@dataclass
class Rig:
    """Everything, and the loop that it lives on: tests are plain functions that hypothesis calls again and again."""

    runner: asyncio.Runner
    stack: Stack
    legs: list[Leg]
    counted: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        """One more example was checked."""
        self.counted[what] = self.counted.get(what, 0) + 1


def meta(client: Http | Stdio, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The members of `_meta` that a client of this era sends, with some of its own."""
    pairs = list(more)
    if client.era == "2026":
        capabilities = client.capabilities if isinstance(client, Http) else "{}"
        pairs += [
            ("io.modelcontextprotocol/protocolVersion", '"2026-07-28"'),
            ("io.modelcontextprotocol/clientInfo", '{"name":"fidelity","version":"1"}'),
            ("io.modelcontextprotocol/clientCapabilities", capabilities),
            ("io.modelcontextprotocol/logLevel", '"debug"'),
        ]
    return pairs


async def listed(client: Client, method: str) -> list[str]:
    """All items of a list, page by page, as they are spelled."""
    found: list[str] = []
    cursor: bytes | None = None
    while True:
        pairs = [("cursor", cursor.decode())] if cursor else []
        params = ",".join(f"{json.dumps(key)}:{value}" for key, value in [*pairs, ("_meta", _object(meta(client)))])
        answer = await client.ask(method, "{" + params + "}")
        assert answer.outcome == "result", answer.body[:500]
        found += items(member(answer.body, KINDS[method]) or b"[]")
        cursor = member(answer.body, "nextCursor")
        if cursor is None:
            return found


def _object(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in pairs) + "}"


async def publish(leg: Leg, lists: Lists) -> None:
    """Let the upstream list this, both its copies if it is a child, and wait until the gateway lists as much."""
    through = leg.routes[0].client
    for client, name in ((leg.direct, "say"), *([(through, f"{leg.prefix}say")] if leg.stdio else [])):
        params = [("name", json.dumps(name)), ("publish", f'"{lists.packed()}"'), ("_meta", _object(meta(client)))]
        answer = await client.ask("tools/call", _object(params))
        assert answer.outcome == "result", answer.body[:500]
    leg.published += 1
    marker = json.dumps(f"{leg.published}")

    async def is_listed() -> bool:
        return any(member(item.encode(), "title") == marker.encode() for item in await listed(leg.bare, "tools/list"))

    await eventually(is_listed, every=0.1)


@asynccontextmanager
async def _running(directory: Path) -> AsyncIterator[tuple[Stack, list[Leg]]]:
    async with AsyncExitStack() as leaving:
        servers: dict[str, object] = {}
        urls: dict[str, str] = {}
        eras: tuple[Era, Era] = ("2025", "2026")
        for era in eras:
            upstream = await leaving.enter_async_context(running("scripted", "--era", era))
            urls[era] = upstream.url
            servers[f"http-{era}"] = {"url": upstream.url}
            servers[f"stdio-{era}"] = {"command": command("scripted", "--era", era, "--stdio")}
        # What is listed here changes all the time, and shall be seen.
        common = {"access": "anonymous", "drift": {"changed": "accept"}}
        playbooks = {name: {**common, "servers": {name: {}}} for name in servers}
        playbooks |= {f"{name}-bare": {**common, "servers": {name: {"names": "bare"}}} for name in servers}
        stack = await leaving.enter_async_context(running_stack(directory / "data"))
        text = {"version": 1, "organisation": ORGANISATION, "servers": servers, "playbooks": playbooks}
        await stack.apply(json.dumps(text))
        legs = [_leg(stack, era, transport, urls[era]) for era in eras for transport in ("http", "stdio")]
        try:
            for leg in legs:
                await eventually(lambda leg=leg: listed(leg.bare, "tools/list"), every=0.1)
            yield stack, legs
        finally:
            for leg in legs:
                for client in (leg.direct, leg.bare, *(route.client for route in leg.routes)):
                    await client.close()


def _leg(stack: Stack, era: Era, transport: Transport, url: str) -> Leg:
    name = f"{transport}-{era}"
    endpoint = stack.endpoint(ORGANISATION, name)
    eras: tuple[Era, Era] = ("2025", "2026")
    routes = [Route(Http(endpoint, client), client) for client in eras]
    routes.append(Route(Http(endpoint, "2025", streams=True), "2025", streams=True))
    if era == "2025":
        routes += [Route(Http(endpoint, client, CAPABLE), client, capable=True) for client in eras]
    direct: Client = Stdio(era) if transport == "stdio" else Http(url, era)
    bare = Http(stack.endpoint(ORGANISATION, f"{name}-bare"), era)
    return Leg(era, transport, direct, routes, bare, f"{name}__")


@contextmanager
def running_rig(directory: Path) -> Iterator[Rig]:
    """Start everything; `directory` must exist."""
    with asyncio.Runner() as runner:
        leaving = _running(directory)
        stack, legs = runner.run(leaving.__aenter__())
        try:
            yield Rig(runner, stack, legs)
        finally:
            runner.run(leaving.__aexit__(None, None, None))
