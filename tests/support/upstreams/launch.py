"""Start a test upstream as a child process that cannot outlive the test.

`async with running("echo", "--ledger", path) as upstream:` gives its url, port and process.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_FORKED = {"everything", "apps"}  # on the official SDK, whose import takes longer than most tests


@dataclass(frozen=True)
class Upstream:
    port: int
    process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return self.at("/mcp")

    @property
    def websocket(self) -> str:
        """For an upstream that was started with WebSocket as its transport."""
        return f"ws://127.0.0.1:{self.port}/mcp"

    @property
    def pid(self) -> int:
        return self.process.pid

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


def module_name(module: str) -> str:
    """`echo` means the upstream of that name; a dotted name is taken as it is."""
    return module if "." in module else f"tests.support.upstreams.{module}"


def command(module: str, *args: str) -> list[str]:
    """The command line of an upstream, for a stdio client to start, in any directory."""
    if module in _FORKED:
        forked = str(Path(__file__).with_name("forked.py"))
        return [sys.executable, "-S", "-E", forked, _forks(), module_name(module), *args]
    return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", module_name(module), *args]


@functools.cache
def _forks() -> str:
    """The socket of this worker's process to fork from, which is started the first time."""
    directory = tempfile.mkdtemp(prefix="forks-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = str(Path(directory) / "s")
    words = [sys.executable, "-m", "tests.support.upstreams.forks", path]
    server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, preexec_fn=die_with_parent())
    assert server.stdout is not None
    if server.stdout.readline() != b"READY\n":
        raise RuntimeError("the process to fork upstreams from did not start")
    return path


def die_with_parent() -> Callable[[], None]:
    """A preexec function that asks the kernel to kill the child when this process goes."""
    libc, parent = ctypes.CDLL(None, use_errno=True), os.getpid()

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return arm


@contextlib.asynccontextmanager
async def running(module: str, *args: str | os.PathLike[str]) -> AsyncIterator[Upstream]:
    """Start `module` with a free port (unless `--port` is given) and stop it at the end."""
    words = [str(arg) for arg in args]
    if "--port" not in words:
        words += ["--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *command(module, *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        preexec_fn=die_with_parent(),
    )
    try:
        yield Upstream(await _announced_port(process, words), process)
    finally:
        await _stop(process)


async def _announced_port(process: asyncio.subprocess.Process, words: Sequence[str]) -> int:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
    word, _, port = line.decode().strip().partition(" ")
    if word != "PORT":
        raise RuntimeError(f"upstream {' '.join(words)} announced {line!r} instead of its port")
    return int(port)


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
