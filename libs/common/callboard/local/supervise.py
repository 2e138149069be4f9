"""Keeps a set of child processes up, and leaves none behind.

Above: `callboard up`. Below: `process` (one child), `psutil` (who descends from us).

Three things make "none behind" true: each child is in a session of its own and dies with this process
(PDEATHSIG); this process is a child subreaper, so what a killed child leaves behind is handed to it and not
to init; and after every exit, and at the end, whatever was handed over is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import psutil

from callboard.local.process import (
    Child,
    exit_of,
    kill_group,
    kill_tree,
    set_subreaper,
    spawn,
)
from callboard.platform.bus_identity import make_private_directory, write_private_file

PIDS_FILE: Final = "pids.json"

_READY_POLL_SECONDS: Final = 0.02
_REAP_EVERY_SECONDS: Final = 5.0
# Of the time to stop, what is kept for SIGKILL and for looking whether anything is left.
_RESERVED_FOR_KILL: Final = 0.2


class Started(msgspec.Struct, frozen=True, tag=True):
    """The child runs; it may not be ready yet."""

    name: str
    pid: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The child answered its ready check for the first time since its start."""

    name: str


class Exited(msgspec.Struct, frozen=True, tag=True):
    """The child ended; a negative code is the signal it ended by."""

    name: str
    code: int


class NotStarted(msgspec.Struct, frozen=True, tag=True):
    """The child could not be started at all."""

    name: str
    reason: str


class Restarting(msgspec.Struct, frozen=True, tag=True):
    """The child will be started again after this many seconds."""

    name: str
    delay: float


Event = Started | Ready | Exited | NotStarted | Restarting


class ChildState(msgspec.Struct, frozen=True):
    """What `pids.json` says of one child. `pid` is None between an exit and the restart."""

    pid: int | None
    restarts: int
    ready: bool


class RunState(msgspec.Struct, frozen=True):
    """The content of `pids.json`."""

    supervisor: int
    children: dict[str, ChildState]


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait before a restart: doubling, forgotten after the child stayed up for a while."""

    first: float = 0.1
    longest: float = 5.0
    forgotten_after: float = 10.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many exits in a row, the first being 1."""
        return float(min(self.longest, self.first * 2 ** min(failures - 1, 30)))


def read_run_state(directory: Path) -> RunState | None:
    """What the supervisor of `directory` last wrote, or None when none runs there."""
    try:
        state = msgspec.json.decode((directory / "run" / PIDS_FILE).read_bytes(), type=RunState)
    except FileNotFoundError:
        return None
    return state if psutil.pid_exists(state.supervisor) else None


class _Slot:
    """The changing part of one child."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = asyncio.Event()
        self.idle = asyncio.Event()
        self.restarts = 0
        self.failures = 0

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid


class Supervisor:
    """Starts children, restarts those that die, and stops them all in reverse order within a bound.

    Run it in the main thread (PDEATHSIG is tied to the thread). It takes every process that is handed to this
    one for its own: a process started here with its own session, after `start` and not through the supervisor,
    is killed as an orphan when a child exits.
    """

    def __init__(
        self,
        children: Sequence[Child],
        directory: Path,
        *,
        on_event: Callable[[Event], None] = lambda _event: None,
        backoff: Backoff | None = None,
        stop_within: float = 4.0,
    ) -> None:
        self._slots = {child.name: _Slot(child) for child in children}
        if len(self._slots) != len(children):
            raise ValueError("two children have the same name")
        for child in children:
            if unknown := set(child.after) - set(self._slots):
                raise ValueError(f"{child.name} starts after {sorted(unknown)}, which nobody is called")
        self._run_dir = directory / "run"
        self._on_event = on_event
        self._backoff = backoff or Backoff()
        self._stop_within = stop_within
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._reaper: asyncio.Task[None] | None = None
        self._not_ours: set[int] = set()
        self._was_subreaper = False

    @property
    def pids(self) -> Mapping[str, int]:
        """The process id of each child that runs now."""
        return {name: slot.pid for name, slot in self._slots.items() if slot.pid is not None}

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each child was started again."""
        return {name: slot.restarts for name, slot in self._slots.items()}

    async def start(self) -> None:
        """Start every child, in order. Returns at once; see `wait_ready`."""
        make_private_directory(self._run_dir)
        self._not_ours = {process.pid for process in psutil.Process().children()}
        self._was_subreaper = set_subreaper(True)
        self._keepers = [asyncio.create_task(self._keep(slot)) for slot in self._slots.values()]
        self._reaper = asyncio.create_task(self._reap_now_and_then())

    async def wait_ready(self, within: float) -> None:
        """Wait until every child is ready; TimeoutError names those that are not."""
        waits = [asyncio.create_task(slot.ready.wait()) for slot in self._slots.values()]
        if not waits:
            return
        _done, pending = await asyncio.wait(waits, timeout=within)
        for task in pending:
            task.cancel()
        if pending:
            missing = [name for name, slot in self._slots.items() if not slot.ready.is_set()]
            raise TimeoutError(f"not ready after {within:g} s: {', '.join(missing)}")

    async def stop(self) -> None:
        """Stop all in reverse order, kill what is left at the bound, and verify that nothing remains."""
        if self._stopping.is_set() or self._reaper is None:
            return
        self._stopping.set()
        deadline = time.monotonic() + self._stop_within
        await self._ask_to_stop(deadline - self._stop_within * _RESERVED_FOR_KILL)
        for slot in self._slots.values():
            if slot.process is not None:
                kill_group(slot.process)
        if self._keepers:
            await asyncio.wait(self._keepers, timeout=max(0.1, deadline - time.monotonic()))
        for task in [*self._keepers, self._reaper]:
            task.cancel()
        await self._kill_adopted(deadline)
        set_subreaper(self._was_subreaper)
        (self._run_dir / PIDS_FILE).unlink(missing_ok=True)

    async def __aenter__(self) -> Supervisor:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def _ask_to_stop(self, deadline: float) -> None:
        # A child that hangs delays those before it by a share of the time only; it keeps draining meanwhile.
        slots = list(reversed(self._slots.values()))
        groups = [list(group) for _, group in itertools.groupby(slots, lambda s: s.child.group or s.child.name)]
        for index, group in enumerate(groups):
            for slot in group:
                if slot.process is not None and slot.process.poll() is None:
                    slot.process.send_signal(slot.child.stop_signal)
            share = max(0.0, deadline - time.monotonic()) / (len(groups) - index + 1)
            await self._wait_idle(group, share)
        await self._wait_idle(slots, deadline - time.monotonic())

    async def _wait_idle(self, slots: Sequence[_Slot], within: float) -> None:
        waits = [asyncio.create_task(slot.idle.wait()) for slot in slots]
        if not waits:
            return
        _done, pending = await asyncio.wait(waits, timeout=max(0.0, within))
        for task in pending:
            task.cancel()

    async def _keep(self, slot: _Slot) -> None:
        try:
            for name in slot.child.after:
                await self._unless_stopping(self._slots[name].ready.wait())
            while not self._stopping.is_set():
                started = time.monotonic()
                await self._run_once(slot)
                if self._stopping.is_set():
                    return
                if time.monotonic() - started >= self._backoff.forgotten_after:
                    slot.failures = 0
                slot.failures += 1
                delay = self._backoff.delay(slot.failures)
                self._on_event(Restarting(slot.child.name, delay))
                await self._unless_stopping(asyncio.sleep(delay))
                if not self._stopping.is_set():
                    slot.restarts += 1
        finally:
            slot.idle.set()

    async def _run_once(self, slot: _Slot) -> None:
        name = slot.child.name
        try:
            if slot.child.prepare is not None:
                await asyncio.to_thread(slot.child.prepare)
            if self._stopping.is_set():
                return
            slot.process = process = spawn(slot.child)
        except Exception as error:
            # Whatever it was: this child is tried again and told of, and the others are kept all the same.
            self._on_event(NotStarted(name, str(error) or type(error).__name__))
            return
        self._write_pids()
        self._on_event(Started(name, process.pid))
        watch = asyncio.create_task(self._watch_ready(slot))
        try:
            code = await exit_of(process)
        finally:
            watch.cancel()
        slot.ready.clear()
        slot.process = None
        kill_group(process)
        self._on_event(Exited(name, code))
        self._write_pids()
        await self._kill_adopted(time.monotonic() + 1.0)

    async def _watch_ready(self, slot: _Slot) -> None:
        check = slot.child.ready
        while check is not None:
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                if await check():
                    break
            await asyncio.sleep(_READY_POLL_SECONDS)
        slot.ready.set()
        self._write_pids()
        self._on_event(Ready(slot.child.name))

    async def _unless_stopping(self, wait: Awaitable[object]) -> None:
        waits = [asyncio.ensure_future(wait), asyncio.ensure_future(self._stopping.wait())]
        _done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()

    async def _kill_adopted(self, deadline: float) -> None:
        while adopted := self._adopted():
            for pid in adopted:
                kill_tree(pid)
            self._reap(adopted)
            if time.monotonic() >= deadline:
                return
            await asyncio.sleep(0.01)

    async def _reap_now_and_then(self) -> None:
        # An adopted process that ends by itself stays a zombie until we ask for it.
        while True:
            await asyncio.sleep(_REAP_EVERY_SECONDS)
            self._reap(self._adopted())

    def _adopted(self) -> list[int]:
        """Processes handed to us: ours by parent, but in another session and not a child we know."""
        known = {*self.pids.values(), *self._not_ours}
        adopted = []
        for process in psutil.Process().children():
            with contextlib.suppress(ProcessLookupError):
                if process.pid not in known and os.getsid(process.pid) != os.getsid(0):
                    adopted.append(process.pid)
        return adopted

    def _reap(self, pids: Sequence[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _write_pids(self) -> None:
        states = {name: ChildState(s.pid, s.restarts, s.ready.is_set()) for name, s in self._slots.items()}
        state = RunState(os.getpid(), states)
        write_private_file(self._run_dir / PIDS_FILE, msgspec.json.encode(state), durable=False)
