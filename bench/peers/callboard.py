"""Callboard as `callboard up` starts it, everything on: token, policy, argument validation, call records."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.peers.launch import NotStarted, answering, launched
from bench.peers.peer import HTTP, MODERN, STDIO, Endpoint, Peer, Place
from tests.support.stack import Stack, free_ports

_ORGANISATION = "bench"


def playbooks(place: Place, kinds: Sequence[str]) -> str:
    """The file with a server and a playbook for each kind of upstream, names as the upstream has them."""
    servers = {HTTP: {"url": place.upstream.url}, STDIO: {"command": list(place.upstream.command)}}
    content = {
        "version": 1,
        "organisation": _ORGANISATION,
        "servers": {f"over-{kind}": servers[kind] for kind in kinds},
        "playbooks": {f"over-{kind}": {"servers": {f"over-{kind}": {"names": "bare"}}} for kind in kinds},
    }
    return json.dumps(content)  # JSON is YAML


@asynccontextmanager
async def callboard_up(
    folder: Path, root: Path | None = None, replicas: int = 1, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Stack]:
    """A ready Callboard of the checkout at `root`, or of this one; `settings` are environment variables of rooms."""
    programs = root / ".venv" / "bin" if root else Path(sys.executable).parent
    port = free_ports(replicas)
    words = [str(programs / "callboard"), "up", "--port", str(port), "--data-dir", str(folder / "data")]
    async with launched([*words, "--replicas", str(replicas), "--no-demo"], folder, settings) as process:
        stack = Stack(folder / "data", port, replicas, process)
        try:
            await stack.ready(60)
        except AssertionError as problem:
            said = (folder / "output.log").read_text()[-400:]
            raise NotStarted(f"not ready: {problem}; its last words: {said}") from problem
        yield stack


@asynccontextmanager
async def _start(place: Place, kinds: Sequence[str]) -> AsyncIterator[dict[str, Endpoint]]:
    """In a place where it ran before it serves what was applied there."""
    kept = place.folder / "token"
    async with callboard_up(place.folder) as stack:
        if not kept.exists():
            await stack.apply(playbooks(place, kinds), "benchmark")
            kept.write_text(await stack.token(_ORGANISATION))
        header = f"Authorization: Bearer {kept.read_text()}"
        endpoints = {
            kind: Endpoint(stack.endpoint(_ORGANISATION, f"over-{kind}"), stack.process.pid, headers=(header,))
            for kind in kinds
        }
        for endpoint in endpoints.values():
            await answering(endpoint, MODERN, stack.process, place.folder)
        yield endpoints


CALLBOARD = Peer(
    name="Callboard",
    about="as `callboard up` starts it: token, policy, argument validation, call records; one process of each service",
    start=_start,
    full=True,
    together=True,
    keeps=True,
)
