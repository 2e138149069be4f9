"""A stdio server as a child process: its own session and group, a clean environment, killed with its tree."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from callboard_connectors.transports.failures import TransportFailure
from callboard_connectors.transports.guardian import Guardian

_PR_SET_PDEATHSIG = 1
_CLOSE_SECONDS = 0.15
_TERM_SECONDS = 0.25
_KILL_SECONDS = 1.0


def find_program(name: str, path: str) -> str:
    """The file of a command: on the PATH, or beside this Python, where the servers of its environment are."""
    found = shutil.which(name, path=os.pathsep.join((path or os.defpath, str(Path(sys.executable).parent))))
    if found is None:
        raise TransportFailure(f"its command {name!r} is not installed on this machine", sent=False)
    return found


class Child:
    """A running child. `ended` is set when its process is gone, however that came."""

    def __init__(self, process: subprocess.Popen[bytes], guardian: Guardian) -> None:
        self._process = process
        self._guardian = guardian
        self.ended = asyncio.Event()
        self._watch_exit()

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group too."""
        return self._process.pid

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The pipes."""
        return self._process

    def _watch_exit(self) -> None:
        loop = asyncio.get_running_loop()
        descriptor = os.pidfd_open(self._process.pid)

        def gone() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            # What the child left behind goes before the child is reaped, while its id cannot be another's.
            _signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._guardian.forget(self._process.pid)
            self.ended.set()

        loop.add_reader(descriptor, gone)

    def how_it_ended(self) -> str:
        """In words: the exit status or the signal."""
        code = self._process.returncode
        if code is None:
            return "it stopped answering"
        if code >= 0:
            return f"its process ended with status {code}"
        with contextlib.suppress(ValueError):
            return f"its process was killed by {signal.Signals(-code).name}"
        return f"its process was killed by signal {-code}"

    async def stop(self) -> None:
        """Its input was closed: wait a moment, then SIGTERM, then SIGKILL to all of its tree. At most 1.5 s."""
        family = await asyncio.to_thread(_descendants, self.pid)
        if not await self._gone_within(_CLOSE_SECONDS):
            _signal_group(self.pid, signal.SIGTERM)
            if not await self._gone_within(_TERM_SECONDS):
                _signal_group(self.pid, signal.SIGKILL)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        await self._gone_within(_KILL_SECONDS)

    async def _gone_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), seconds)
        return self.ended.is_set()


def spawn(argv: Sequence[str], env: Mapping[str, str], cwd: str | None, guardian: Guardian) -> Child:
    """Start a child with pipes; raises `TransportFailure` with what is wrong.

    Call it in the thread of the event loop: the kernel ties the child's death to that thread.
    """
    program = find_program(argv[0], env.get("PATH", ""))
    try:
        process = subprocess.Popen(
            (program, *argv[1:]),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else "bad command or directory"
        raise TransportFailure(f"its command {argv[0]!r} cannot be started: {what}", sent=False) from None
    guardian.watch(process.pid)
    return Child(process, guardian)


def _die_with_parent() -> Callable[[], None]:
    # Looked up before the fork: between fork and exec only two system calls run.
    prctl, parent, number = ctypes.CDLL(None).prctl, os.getpid(), ctypes.c_ulong(signal.SIGKILL)

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)

    return before_exec


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
