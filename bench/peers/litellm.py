"""LiteLLM's proxy as an MCP gateway: a file with one server, a master key, no database."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.peers.launch import answering, free_port, launched
from bench.peers.peer import HANDSHAKE, HTTP, Endpoint, Package, Peer, Place


def _server(place: Place, kind: str) -> dict[str, object]:
    """One server only: a call looks at all of them."""
    if kind == HTTP:
        return {"transport": "http", "url": place.upstream.url, "allow_all_keys": True}
    command, *arguments = place.upstream.command
    return {"transport": "stdio", "command": command, "args": arguments, "allow_all_keys": True}


@asynccontextmanager
async def _start(place: Place, kinds: Sequence[str]) -> AsyncIterator[dict[str, Endpoint]]:
    port, key, (kind,) = free_port(), f"sk-{secrets.token_hex(16)}", kinds
    file = place.folder / "config.yaml"  # JSON is YAML
    settings = {"mcp_servers": {"bench": _server(place, kind)}, "general_settings": {"master_key": key}}
    file.write_text(json.dumps(settings))
    programs = place.package / "venv" / "bin"
    workers = str(os.cpu_count() or 1)
    words = [str(programs / "litellm"), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    # Its list of model prices is not fetched: nothing here leaves the machine.
    environment = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_ENABLE_MCP_STDIO": "true",
        "LITELLM_MCP_STDIO_EXTRA_COMMANDS": "env",
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    words += ["--run_granian", "--num_workers", workers]
    async with launched(words, place.folder, environment) as process:
        headers = (f"x-litellm-api-key: Bearer {key}",)
        endpoint = Endpoint(f"http://127.0.0.1:{port}/mcp/", process.pid, "bench-echo", headers)
        await answering(endpoint, HANDSHAKE, process, place.folder)
        yield {kind: endpoint}


LITELLM = (
    Peer(
        name="LiteLLM",
        about="master key, one server from the file, granian with a worker per core, no database, logs only errors",
        start=_start,
        package=Package("pypi", "litellm[proxy]", "1.108.7"),
        full=True,
        lacks={"2026": "it answers that it supports 2024-11-05 to 2025-11-25"},
    ),
)
