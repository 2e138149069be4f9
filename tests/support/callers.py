"""Agents that call without a pause while something is broken, and remember what they were told."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.support.stack import META

HEADERS = {
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Accept": "application/json, text/event-stream",
}


@dataclass
class Told:
    """What the callers were told: text of the call -> how it ended."""

    ok: set[str] = field(default_factory=set)
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0
    last_ok: float = 0.0

    @property
    def calls(self) -> int:
        return len(self.ok) + len(self.errors) + len(self.broken)

    def complain(self) -> bool:
        """For a wait that fails: say what the callers were told instead of the calls that were expected."""
        failed = [*self.errors.values(), *self.broken.values()][:3]
        raise AssertionError(f"{len(self.ok)} calls ok, {len(self.errors)} errors, {len(self.broken)} broken: {failed}")


class Callers:
    """Calls a tool that is not read-only from several connections to random edges until stopped."""

    def __init__(self, urls: list[str], token: str, tool: str, count: int = 6) -> None:
        self._urls = itertools.cycle(urls)
        self._token = token
        self._tool = tool
        self._count = count
        self._numbers = itertools.count()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.told = Told()

    async def __aenter__(self) -> Callers:
        self._tasks = [asyncio.create_task(self._call(next(self._urls))) for _ in range(self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.wait_for(asyncio.gather(*self._tasks), 90)

    async def _call(self, url: str) -> None:
        headers = {**HEADERS, "Mcp-Name": self._tool, "Authorization": f"Bearer {self._token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=75) as http:
            while not self._stop.is_set():
                await self._one(http, url)

    async def _one(self, http: httpx2.AsyncClient, url: str) -> None:
        text = f"call-{next(self._numbers)}"
        params = {"name": self._tool, "arguments": {"text": text}, "_meta": META}
        began = time.monotonic()
        try:
            answer = await http.post(url, json={"jsonrpc": "2.0", "id": text, "method": "tools/call", "params": params})
            body = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            self.told.broken[text] = repr(error)
            await asyncio.wait({asyncio.ensure_future(self._stop.wait())}, timeout=0.05)
            return
        self.told.slowest = max(self.told.slowest, time.monotonic() - began)
        # A request that is refused before it is read (nobody can check the token just now) is answered without its id.
        assert body["id"] == text or (body["id"] is None and "error" in body)
        if "result" in body and not body["result"].get("isError"):
            self.told.ok.add(text)
            self.told.last_ok = time.monotonic()
        else:
            self.told.errors[text] = body.get("error") or body["result"]


def ledger_lines(path: Path) -> list[str]:
    """What the upstream executed, in order."""
    return path.read_text().split() if path.exists() else []


def faults_of(acknowledged: set[str], executed: list[str]) -> list[str]:
    """What must never be: a call that was executed twice, or acknowledged and never executed."""
    counts = Counter(executed)
    twice = [f"executed {count} times: {text}" for text, count in counts.items() if count > 1]
    return twice + [f"acknowledged, never executed: {text}" for text in sorted(acknowledged - counts.keys())]
