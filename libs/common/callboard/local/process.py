"""One child process: how it is described, started, watched and ended.

Above: `supervise` (keeps many of them up), `nats_server` and `postgres_server` (describe one each).
Below: fork and exec, `prctl`, pidfds.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import psutil

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_TIMERSLACK: Final = 29
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_GET_CHILD_SUBREAPER: Final = 37
_LOG_KEPT_BYTES: Final = 16 * 1024 * 1024
_POLL_SECONDS: Final = 0.01


class LocalServerError(Exception):
    """A local process could not be started, or is not what it should be. The message says what to do."""


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """What to run and how to know that it is up.

    `env` is the whole environment. `prepare` runs before every start, restarts included, in a worker thread.
    `after` names the children that have to be ready before the first start. Neighbours of one `group` are
    stopped at the same time. `timer_slack`: how late the kernel may wake it from a sleep, in seconds; 0 is the
    kernel's own 50 us (prctl(2), PR_SET_TIMERSLACK).
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log_path: Path
    ready: Callable[[], Awaitable[bool]] | None = None
    prepare: Callable[[], None] | None = None
    after: tuple[str, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    run_as: int | None = None
    group: str = ""
    timer_slack: float = 0.0


def spawn(child: Child) -> subprocess.Popen[bytes]:
    """Start the child in a session of its own, its output in its log, bound to die with this process.

    The kernel ties that death to the calling *thread*: call this from the main thread, not from a worker.
    """
    user = child.run_as
    with _open_log(child.log_path) as log:
        try:
            return subprocess.Popen(
                child.argv,
                env=dict(child.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/" if user is not None else None,
                start_new_session=True,
                preexec_fn=dying_with_us(child.timer_slack),
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        except OSError as error:
            raise LocalServerError(f"cannot start {child.name} ({child.argv[0]}): {error}") from error


async def exit_of(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a child without a thread and without SIGCHLD, on any event loop."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return await _polled_exit(process)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()


def end(process: subprocess.Popen[bytes], steps: Iterable[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn, giving the process its seconds to end, and SIGKILL to its group at last."""
    for number, seconds in steps:
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
    kill_group(process)
    process.wait()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL everything still in the child's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def kill_tree(pid: int) -> None:
    """SIGKILL a process and everything below it, found first so that re-parenting hides none."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()


def wait_until(check: Callable[[], bool], within: float) -> bool:
    """Poll `check` until it holds; False when the time is over."""
    deadline = time.monotonic() + within
    while not check():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def log_tail(path: Path, lines: int = 8) -> str:
    """The last lines of a log, for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"


def set_subreaper(on: bool) -> bool:
    """Have our orphaned descendants handed to this process instead of to init. Returns the setting before."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int(0)
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(on), 0, 0, 0)
    return bool(before.value)


def dying_with_us(timer_slack: float = 0.0) -> Callable[[], None] | None:
    """The `preexec_fn` of a child that the kernel ends together with the thread that calls this."""
    return _die_with(os.getpid(), timer_slack) if sys.platform == "linux" else None


def _die_with(parent: int, timer_slack: float) -> Callable[[], None]:
    # Everything is looked up before the fork: between fork and exec only the system calls run.
    prctl = ctypes.CDLL(None).prctl
    number, slack = ctypes.c_ulong(signal.SIGKILL), ctypes.c_ulong(round(timer_slack * 1e9))

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if slack:  # 0 would ask for the slack of the parent, which is what it has
            prctl(_PR_SET_TIMERSLACK, slack, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(127)

    return before_exec


async def _polled_exit(process: subprocess.Popen[bytes]) -> int:
    # Where there are no pidfds. The thread is a helper only: it does not own the child.
    return await asyncio.to_thread(process.wait)


@contextlib.contextmanager
def _open_log(path: Path) -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_KEPT_BYTES:
            path.replace(path.with_name(path.name + ".1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
