"""Sessions with a handshake upstream that speak for one client: its capabilities, its questions.

A handshake client has one of its own for as long as its session is used; a stateless one borrows one for a single
call. Nobody else's question can come up on it. The number is bounded; what is idle is closed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from callboard.contracts.calls import MODERN, CallHead
from callboard_connectors.sessions.domain import Mirror
from callboard_connectors.sessions.session import Session
from callboard_connectors.tasks.domain import TaskIds
from callboard_connectors.tasks.watch import TaskWatch

log = structlog.get_logger()
MAX_MIRRORS = 32
IDLE_SECONDS = 300.0
TASK_SECONDS = 3600.0
"""How long one is kept that made a task: its server may know the task on this session only."""
Open = Callable[[str, Mirror], Coroutine[Any, Any, Session]]


class Lease:
    """A mirrored session in use; give it back with `release`."""

    def __init__(self, mirrors: Mirrors, key: str, session: Session) -> None:
        self._mirrors = mirrors
        self._key = key
        self.session = session
        self._given_back = False

    def release(self) -> None:
        """Not needed any more."""
        if not self._given_back:
            self._given_back = True
            self._mirrors.released(self._key)

    def follow(self, ids: TaskIds, tell: Callable[[bytes], Awaitable[None]]) -> None:
        """The client made a task on it: whatever the server says of that by itself is told."""
        self._mirrors.follow(self._key, self.session, ids, tell)

    def discard(self) -> None:
        """The server does not know it any more."""
        self._mirrors.discard(self._key)


class _Entry:
    __slots__ = ("idle", "listening", "opening", "users", "watch")

    def __init__(self, opening: asyncio.Task[Session]) -> None:
        self.opening = opening
        self.users = 0
        self.idle: asyncio.TimerHandle | None = None
        self.watch: TaskWatch | None = None
        self.listening: asyncio.Task[None] | None = None


class Mirrors:
    """The mirrored sessions of one upstream."""

    def __init__(self, open_session: Open) -> None:
        self._open = open_session
        self._entries: dict[str, _Entry] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def borrow(self, head: CallHead) -> Lease | None:
        """A session that speaks for the caller; None when there are too many (the shared one has to do)."""
        key = self._key(head)
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= MAX_MIRRORS and not self._evict():
                return None
            opening = asyncio.create_task(self._opened(key, Mirror(head.capabilities, head.client_info)))
            entry = self._entries[key] = _Entry(opening)
        entry.users += 1
        if entry.idle is not None:
            entry.idle.cancel()
            entry.idle = None
        try:
            session = await asyncio.shield(entry.opening)
        except BaseException:
            entry.users -= 1
            if entry.opening.done():
                self._entries.pop(key, None)
            raise
        return Lease(self, key, session)

    async def _opened(self, key: str, mirror: Mirror) -> Session:
        opening = asyncio.current_task()
        session = await self._open(key, mirror)
        session.on_end(lambda _reason: self._ended(key, opening))
        return session

    def _ended(self, key: str, opening: object) -> None:
        """A connection is gone; another one may have its place by now."""
        entry = self._entries.get(key)
        if entry is not None and entry.opening is opening:
            self.discard(key)

    def _key(self, head: CallHead) -> str:
        if head.era != MODERN:
            return f"session:{head.session}"
        # One call at a time: a question must find the one that it belongs to.
        offered = hashlib.sha256(head.capabilities).hexdigest()[:16]
        number = 0
        while (entry := self._entries.get(f"call:{head.principal}:{offered}:{number}")) is not None and entry.users:
            number += 1
        return f"call:{head.principal}:{offered}:{number}"

    def released(self, key: str) -> None:
        """One user less."""
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.users -= 1
        if not entry.users:
            seconds = IDLE_SECONDS if entry.watch is None else TASK_SECONDS
            entry.idle = asyncio.get_running_loop().call_later(seconds, self.discard, key)

    def follow(self, key: str, session: Session, ids: TaskIds, tell: Callable[[bytes], Awaitable[None]]) -> None:
        """Hear what the server says of a task by itself."""
        entry = self._entries.get(key)
        if entry is None:
            return
        if entry.watch is None:
            entry.watch = TaskWatch(tell)
            entry.listening = asyncio.get_running_loop().create_task(entry.watch.run(session))
        entry.watch.add(ids)

    def discard(self, key: str) -> None:
        """Close one."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        if entry.idle is not None:
            entry.idle.cancel()
        if entry.listening is not None:
            entry.listening.cancel()
        task = asyncio.get_running_loop().create_task(_closed(entry.opening))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _evict(self) -> bool:
        idle = next((key for key, entry in self._entries.items() if not entry.users), None)
        if idle is not None:
            self.discard(idle)
        return idle is not None

    async def close(self) -> None:
        """Close all."""
        for key in tuple(self._entries):
            self.discard(key)
        await asyncio.gather(*self._closing, return_exceptions=True)


async def _closed(opening: asyncio.Task[Session]) -> None:
    try:
        session = await opening
    except Exception as error:
        log.info("mirror_not_opened", reason=type(error).__name__)
        return
    await session.close()
