"""`callboard up` as a user starts it, in a folder of its own on a free port, and what one does with it."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from callboard.cli.output import Output
from callboard.cli.parser import build_parser
from tests.support.backends import external_servers
from tests.support.waiting import PATIENCE, eventually

ROOT = Path(__file__).parents[2]
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}


_HANDED_OUT: set[int] = set()


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row, below the range the kernel gives to outgoing connections.

    None is given twice, and each parallel test worker has a range of its own: between this answer and the moment
    somebody listens there is time enough for another one to be given the same.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    for first in range(20_000 + 1_200 * worker + os.getpid() % 600, 21_200 + 1_200 * worker, count):
        ports = range(first, first + count)
        if not _HANDED_OUT.isdisjoint(ports) or not all(_is_free(port) for port in ports):
            continue
        _HANDED_OUT.update(ports)
        return first
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Stack:
    """A running Callboard."""

    def __init__(self, directory: Path, port: int, replicas: int, process: asyncio.subprocess.Process) -> None:
        self.directory = directory
        self.port = port
        self.replicas = replicas
        self.process = process
        self._admin: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def urls(self) -> list[str]:
        """All edges."""
        return [f"http://127.0.0.1:{self.port + number}" for number in range(self.replicas)]

    @property
    def admin_token(self) -> str:
        lines = (self.directory / "admin.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)["CALLBOARD_TOKEN"]

    def endpoint(self, organisation: str, playbook: str, edge: int = 0) -> str:
        return f"{self.urls[edge]}/p/{organisation}/{playbook}/mcp"

    async def cli(self, *words: str, ok: bool = True, stdin: str = "") -> tuple[int, str, str]:
        """`callboard …` against this installation: exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("callboard")),
            *words,
            "--data-dir",
            str(self.directory),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        code = process.returncode if process.returncode is not None else -1
        if ok:
            assert code == 0, f"callboard {' '.join(words)}: {code}\n{out.decode()}\n{err.decode()}"
        return code, out.decode(), err.decode()

    async def cli_json(self, *words: str) -> Any:
        """What `callboard … --json` prints; the same code without a process of its own, which is what costs."""
        return await asyncio.to_thread(_command, [*words, "--json", "--data-dir", str(self.directory)])

    async def planned(self, text: str) -> Any:
        """What applying a file would do; with --exit-code a difference is told with 4."""
        file = self.directory / f"plan-{os.urandom(4).hex()}.yaml"
        file.write_text(textwrap.dedent(text))
        words = ("apply", "-f", str(file), "-m", "plan", "--dry-run", "--exit-code", "--json")
        code, out, err = await self.cli(*words, ok=False)
        assert code == 4, err
        return json.loads(out)

    async def apply(self, text: str, why: str = "a test", *more: str) -> Any:
        """Apply a Callboard file given as text."""
        file = self.directory / f"apply-{os.urandom(4).hex()}.yaml"
        file.write_text(textwrap.dedent(text))
        return await self.cli_json("apply", "-f", str(file), "-m", why, *more)

    async def token(self, organisation: str, client: str = "agent", *more: str) -> str:
        issued = await self.cli_json("token", "issue", client, "--org", organisation, *more)
        return str(issued["token"])

    def pids(self) -> dict[str, int]:
        state = json.loads((self.directory / "run" / "pids.json").read_text())
        return {name: child["pid"] for name, child in state["children"].items() if child["pid"]}

    def kill(self, name: str) -> int:
        """SIGKILL one process of the tree; returns its pid."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    async def ready(self, within: float = PATIENCE) -> None:
        async def answers() -> bool:
            try:
                async with httpx2.AsyncClient(timeout=2) as http:
                    replies = [await http.get(f"{url}/ready") for url in self.urls]
            except httpx2.HTTPError:
                return False
            return all(reply.status_code == 200 for reply in replies)

        await eventually(answers, within=within, every=0.1)

    async def rpc(
        self,
        url: str,
        method: str,
        params: dict[str, Any] | None = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30,
    ) -> httpx2.Response:
        """One stateless request."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META, **(params or {})}}
        sent = {
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": method,
            "Accept": "application/json, text/event-stream",
        }
        name = (params or {}).get("name") or (params or {}).get("uri")
        if method in ("tools/call", "prompts/get", "resources/read") and name:
            sent["Mcp-Name"] = name
        if token:
            sent["Authorization"] = f"Bearer {token}"
        async with httpx2.AsyncClient(timeout=timeout) as http:
            return await http.post(url, json=body, headers={**sent, **(headers or {})})

    async def stop(self, number: int = signal.SIGINT, within: float = PATIENCE) -> int:
        """Ctrl-C; returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), within)


@asynccontextmanager
async def running_stack(
    directory: Path,
    *,
    replicas: int = 1,
    connectors: int = 0,
    arguments: tuple[str, ...] = ("--no-demo",),
    port: int = 0,
    settings: dict[str, str] | None = None,
) -> AsyncIterator[Stack]:
    """Start, wait until ready, and stop at the end.

    `connectors` is another number for that service; `settings` are those of rooms, by the names of their variables.
    """
    port = port or free_ports(replicas)
    with external_servers() as external:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("callboard")),
            "up",
            "--port",
            str(port),
            "--data-dir",
            str(directory),
            "--replicas",
            f"{replicas},connectors={connectors or replicas}",
            *arguments,
            *external,
            stdout=(directory.parent / f"{directory.name}.out").open("ab"),
            stderr=(directory.parent / f"{directory.name}.err").open("ab"),
            cwd=ROOT,
            env={**os.environ, **(settings or {})},
        )
        stack = Stack(directory, port, replicas, process)
        try:
            await _first_ready(stack)
            yield stack
        finally:
            await stack.stop()


class _Heard(Output):
    """Keeps the one JSON document of a command."""

    def __init__(self) -> None:
        super().__init__(True)
        self.document: Any = None

    def json(self, value: Any) -> None:
        self.document = json.loads(msgspec.json.encode(value))

    def talk(self, text: str) -> None:
        """Nobody listens."""


def _command(words: list[str]) -> Any:
    args = build_parser().parse_args(words)
    module, _, function = args.command.partition(":")
    heard = _Heard()
    try:
        code = getattr(importlib.import_module(module), function)(args, heard)
    except Exception as error:
        raise AssertionError(f"callboard {' '.join(words)}: {error}") from error
    assert code == 0, f"callboard {' '.join(words)}: {code}"
    return heard.document


async def _first_ready(stack: Stack) -> None:
    ended = asyncio.ensure_future(stack.process.wait())
    ready = asyncio.ensure_future(stack.ready(60))
    await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        ready.cancel()
        log = stack.directory.parent / f"{stack.directory.name}.err"
        raise RuntimeError(f"callboard up ended with {ended.result()}:\n{log.read_text()[-3000:]}")
    ended.cancel()
    await ready
