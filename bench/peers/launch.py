"""Start a gateway as a child with a session of its own, wait for its first right answer, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from bench.accounting import tree
from bench.load import Plan, run
from bench.pausing import go_on
from bench.peers.peer import Endpoint
from tests.support.upstreams.launch import die_with_parent

_STOP_SECONDS = 8.0
_TAIL = 400
_SECRET = re.compile("SECRET|PASSWORD|TOKEN|(^|_)KEY")


class NotStarted(Exception):
    """Why a gateway does not run or does not answer."""


def stop_like_ctrl_c() -> None:
    """SIGTERM ends a run as Ctrl-C does: by stopping everything that was started, children of children as well."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def launched(
    words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command in `folder`, where `output.log` gets what it prints; at the end it and its children are gone.

    `command.txt` there says how it was started.
    """
    (folder / "command.txt").write_text(as_typed(words, environment or {}))
    with (folder / "output.log").open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    try:
        yield process
    finally:
        await _end(process)


def as_typed(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """The line that does the same in a shell, secrets apart."""
    settings = [f"{name}={'…' if _hides(name, value) else shlex.quote(value)}" for name, value in environment.items()]
    return " ".join([*settings, shlex.join(words)])


def _hides(name: str, value: str) -> bool:
    return _SECRET.search(name) is not None and value not in ("true", "false")


async def _end(process: asyncio.subprocess.Process) -> None:
    family = set(tree([process.pid])) | {process.pid}
    go_on(process.pid)  # who is stopped obeys nothing but SIGKILL
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    for pid in family & set(tree(family)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await process.wait()


async def answering(endpoint: Endpoint, era: str, process: asyncio.subprocess.Process, folder: Path) -> None:
    """Wait for the first right answer; NotStarted after a minute and a half, or when the process ends before."""
    why = "no answer"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(90):
            while process.returncode is None:
                why = await wrong(endpoint, era) or ""
                if not why:
                    return
                await asyncio.sleep(0.05)
    ended = f"it ended with {process.returncode}; " if process.returncode is not None else ""
    said = " ".join((folder / "output.log").read_text(errors="replace").split())[-_TAIL:]
    raise NotStarted(f"{ended}{why}; its last words: {said}")


async def wrong(endpoint: Endpoint, era: str, grace: float = 10.0) -> str | None:
    """What is wrong with the answer to one call, if anything is."""
    once = {"calls": 1, "warmup": 0.0, "secs": grace, "grace": 1.0}
    plan = Plan(url=endpoint.url, era=era, tool=endpoint.tool, headers=endpoint.headers, **once)  # type: ignore[arg-type]
    report = await run(plan)
    if report.calls:
        return None
    return report.samples[0] if report.samples else "no answer"
