"""What the `told` upstream is told: its script, and the server definition that runs it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.support.names import fresh
from tests.support.stack import META
from tests.support.upstreams.launch import command, running
from tests.support.waiting import PATIENCE

EVERYTHING = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "completions": {},
    "logging": {},
}
ANY = {"type": "object"}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": ANY, **more}


@dataclass
class Telling:
    """One upstream of a test."""

    server: dict[str, Any]
    path: Path
    ledger: Path

    def tell(self, **changes: Any) -> None:
        """Say something else from now on."""
        script = json.loads(self.path.read_text())
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({**script, **changes}))
        new.replace(self.path)

    async def announce(self, method: str = "notifications/tools/list_changed") -> None:
        """Have it tell whoever listens, from outside Callboard (HTTP, stateless era)."""
        params = {"name": "emit", "arguments": {"method": method}, "_meta": META}
        headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "emit"}
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            answer = await http.post(self.server["url"], json=body, headers=headers)
        assert "result" in answer.json(), answer.text

    def seen(self, method: str) -> list[dict[str, Any]]:
        """The requests that came, in order."""
        lines = [json.loads(line) for line in self.ledger.read_text().splitlines()] if self.ledger.exists() else []
        return [line for line in lines if line["method"] == method]


@asynccontextmanager
async def telling(
    folder: Path, script: dict[str, Any], transport: str = "http", era: str = "both"
) -> AsyncIterator[Telling]:
    """A running upstream (over stdio, Callboard runs it). Capabilities are all there are unless said otherwise."""
    name = fresh("told")
    path, ledger = folder / f"{name}.json", folder / f"{name}.ledger"
    whole = {"capabilities": EVERYTHING}
    for method, key in (
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ):
        whole[method] = {key: []}
    path.write_text(json.dumps({**whole, **script}))
    words = ("--script", str(path), "--ledger", str(ledger), "--era", era)
    if transport == "stdio":
        yield Telling({"command": command("told", *words, "--stdio")}, path, ledger)
        return
    async with running("told", *words) as upstream:
        yield Telling({"url": upstream.url}, path, ledger)


def playbook_of(servers: dict[str, dict[str, Any]], uses: dict[str, dict[str, Any]] | None = None, **more: Any) -> str:
    """A file with playbook `p` over these servers (ORG stands for the organisation)."""
    used = {name: (uses or {}).get(name, {}) for name in servers}
    body = {"version": 1, "organisation": "ORG", "servers": servers, "playbooks": {"p": {"servers": used, **more}}}
    return json.dumps(body)
