"""A running Callboard with a playbook for every upstream, and an address in front of its edges."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tests.conformance.configurations import CONNECTORS, SLOPPY, Configuration, extensions, playbook, upstreams
from tests.support.round_robin import RoundRobin
from tests.support.stack import Stack, running_stack
from tests.support.upstreams.launch import command, running
from tests.support.waiting import PATIENCE, eventually

ORGANISATION = "conformance"
# The scenario `server-sse-polling` wants a server that closes its stream before it answers. Over HTTP the upstream of
# its own era does; for all others Callboard has to, as it does where it is told not to hold idle connections.
_SETTINGS = {"CALLBOARD_EDGE_LET_GO": "0.3"}
_OTHER_TOOLS = {"time__get_current_time", "git__git_log"}
_ITS_TOOL = {"tasks": "test_tool_with_task"}


@dataclass(frozen=True)
class Gateway:
    """Callboard behind one address; with more than one edge each request goes to the next."""

    stack: Stack
    front: RoundRobin

    def url(self, configuration: Configuration) -> str:
        return f"http://localhost:{self.front.port}/p/{ORGANISATION}/{configuration.playbook}/mcp"


@asynccontextmanager
async def running_gateway(directory: Path, replicas: int) -> AsyncIterator[Gateway]:
    """Callboard with an upstream of every era over every transport, beside two other real servers.

    `directory` must exist; the names of the upstream are bare, those of the others have a prefix.
    """
    async with AsyncExitStack() as leaving:
        servers: dict[str, Any] = {}
        for name, transport in upstreams(replicas):
            era = ("--sloppy",) if name == SLOPPY else ("--era", name)
            words = ("everything", "--transport", transport, *era)
            if transport == "stdio":
                servers[playbook(name, transport)] = {"command": command(*words)}
                continue
            upstream = await leaving.enter_async_context(running(*words))
            urls = {"http": upstream.url, "sse": upstream.at("/sse"), "websocket": upstream.websocket}
            servers[playbook(name, transport)] = {"url": urls[transport]}
        for extension, transport in extensions():
            if transport == "stdio":
                servers[playbook(extension, transport)] = {"command": command(extension, "--era", "2026", "--stdio")}
                continue
            upstream = await leaving.enter_async_context(running(extension, "--era", "2026"))
            servers[playbook(extension, transport)] = {"url": upstream.url}
        several = running_stack(
            directory / "data", replicas=replicas, connectors=CONNECTORS[replicas], settings=_SETTINGS
        )
        stack = await leaving.enter_async_context(several)
        await stack.apply(json.dumps(await _file(servers, directory / "repository")))
        await eventually(lambda: _all_known(stack), every=0.2)
        edges = [stack.port + number for number in range(replicas)]
        front = await leaving.enter_async_context(RoundRobin(edges))
        yield Gateway(stack, front)


async def _file(servers: dict[str, Any], repository: Path) -> dict[str, Any]:
    git = await asyncio.create_subprocess_exec("git", "init", "--quiet", str(repository))
    assert await asyncio.wait_for(git.wait(), PATIENCE) == 0
    others = {
        "time": {"command": ["mcp-server-time", "--local-timezone", "UTC"]},
        "git": {"command": ["mcp-server-git", "--repository", str(repository)]},
    }
    playbooks = {
        name: {"access": "anonymous", "servers": {name: {"names": "bare"}, "time": {}, "git": {}}} for name in servers
    }
    return {"version": 1, "organisation": ORGANISATION, "servers": {**servers, **others}, "playbooks": playbooks}


async def _all_known(stack: Stack) -> bool:
    """Every edge lists the tools of the three servers in every playbook."""
    kinds = (*upstreams(stack.replicas), *extensions())
    for edge, (kind, transport) in product(range(stack.replicas), kinds):
        endpoint = stack.endpoint(ORGANISATION, playbook(kind, transport), edge)
        answer = (await stack.rpc(endpoint, "tools/list")).json()
        wanted = {_ITS_TOOL.get(kind, "test_simple_text"), *_OTHER_TOOLS}
        missing = wanted - {tool["name"] for tool in answer.get("result", {}).get("tools", ())}
        assert not missing, f"{endpoint} does not list {sorted(missing)}: {json.dumps(answer)[:500]}"
    return True
