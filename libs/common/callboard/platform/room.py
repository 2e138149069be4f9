"""What every room does around its own work: start, answer `status`, drain and stop, log what ends it.

A room's `app.py` builds its adapters and hands a `Room` to `run_room`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import callboard.platform.plain_logs  # isort: split

import structlog
import uvloop
from msgspec.structs import replace

import callboard
from callboard.contracts import subjects
from callboard.contracts.status import AskStatus, InstanceStatus
from callboard.platform.bus import Bus, register
from callboard.platform.settings import CommonSettings, SettingsRefused
from callboard.platform.telemetry import configure_logs

log = structlog.get_logger()
_LAST_SPANS = 0.8
"""Seconds that the last spans have to be sent when the room stops."""
_YOUNG = 20_000
"""Containers that may have been made, beyond those that are gone, before the collector looks at the new ones."""


class Room(Protocol):
    """One running instance of a room."""

    bus: Bus

    async def start(self) -> None:
        """Connect, load, register handlers; ready when it returns."""

    async def stop(self) -> None:
        """Finish what runs, close what is open."""

    def status(self) -> InstanceStatus:
        """What `callboard status` shows of this instance."""


def instance_name(settings: CommonSettings) -> str:
    """The configured name, or host and pid: unique among running instances."""
    name = settings.instance or f"{socket.gethostname()}-{os.getpid()}"
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)


class Clockwork:
    """Start time and identity of this process, for its status."""

    def __init__(self, room: str, instance: str) -> None:
        self._room = room
        self._instance = instance
        self._started = time.monotonic()

    def status(self, **rest: object) -> InstanceStatus:
        """An `InstanceStatus` with the common fields filled in."""
        return InstanceStatus(
            room=self._room,
            instance=self._instance,
            version=callboard.__version__,
            pid=os.getpid(),
            uptime_seconds=round(time.monotonic() - self._started, 3),
            ready=bool(rest.pop("ready", True)),
            **rest,  # type: ignore[arg-type]  # the struct checks the rest
        )


def answer_status(room: Room) -> None:
    """Every instance answers `cb.ask.status` (no queue: each one speaks for itself)."""

    async def status(question: AskStatus) -> InstanceStatus:
        told, traces = room.status(), room.bus.traces
        return told if traces is None else replace(told, figures={**told.figures, **traces.figures})

    register(room.bus, subjects.STATUS, status, queue="", workers=1)


async def _serve(room: Room) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.ensure_future(room.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        settle()
        log.info("ready")
        await stopping
    else:
        starting.cancel()
    log.info("stopping")
    try:
        await asyncio.wait_for(room.stop(), 3.5)
    finally:
        if room.bus.traces is not None:
            await room.bus.traces.close(_LAST_SPANS)


def settle() -> None:
    """After the start: what is there lives as long as the room, and the collector need not walk through it again.

    A router with ten thousand tools in memory would otherwise stand still for it, again and again. What calls make is
    gone with their last reference, so there is little to find: the collector looks after every few hundred calls and
    not after every dozen.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)


def run_room(name: str, load_settings: Callable[[], CommonSettings], build: Callable[[str], Room]) -> int:
    """The body of a room's `__main__`; returns the exit code (2: bad settings, 1: failed)."""
    try:
        settings = load_settings()
    except SettingsRefused as refused:
        sys.stderr.write(f"callboard {name}: bad settings: {refused}\n")
        return 2
    instance = instance_name(settings)
    configure_logs(name, instance, settings.log_level)

    async def main() -> None:
        await _serve(build(instance))

    try:
        uvloop.run(main())
    except TimeoutError:
        log.warning("stopped_late")
    except Exception:
        log.exception("room_failed")
        return 1
    return 0


async def cancel_all(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel tasks and wait until they are gone.

    Again and again: Python 3.11's `wait_for` loses a cancellation that comes together with its result.
    """
    alive = {task for task in tasks if task is not None}
    while alive:
        for task in alive:
            task.cancel()
        _, alive = await asyncio.wait(alive, timeout=0.2)
    # Their errors were logged where they happened; asked for here, so that none is reported as never retrieved.
    await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


Closer = Callable[[], Awaitable[None]]
