"""What a handshake server says of its tasks by itself (`notifications/tasks/status`, MCP 2025-11-25, tasks).

It says so on the stream of the session that made them. That session speaks for one client, whose own stream hears it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from callboard_connectors.sessions.session import Session
from callboard_connectors.tasks.domain import NEWS, TaskIds, named_in, news
from callboard_connectors.transports.envelope import Envelope, encode
from callboard_connectors.transports.failures import InvalidAnswer, SessionUnknown, TransportFailure

log = structlog.get_logger()
MAX_TASKS = 1000
_PAUSE = 1.0


class TaskWatch:
    """The tasks that one client made on its session with a server; their names are known as long as that lives."""

    def __init__(self, tell: Callable[[bytes], Awaitable[None]]) -> None:
        self._tell = tell
        self._names: dict[str, str] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def add(self, ids: TaskIds) -> None:
        """One more task."""
        self._names[ids.theirs] = ids.ours
        if len(self._names) > MAX_TASKS:
            del self._names[next(iter(self._names))]

    async def run(self, session: Session) -> None:
        """Listen until cancelled, or until the server says that it has no such stream."""
        while True:
            try:
                if not await session.listen(self, frozenset()):
                    return
            except SessionUnknown:
                return
            except (TransportFailure, InvalidAnswer, TimeoutError) as error:
                log.info("task_news_broken", reason=type(error).__name__)
            await asyncio.sleep(_PAUSE)

    def opened(self) -> None:
        """What a task became meanwhile, its client asks for."""

    def changed(self) -> None:
        """The owner of the server hears that too."""

    def updated(self, uri: str) -> None:
        """No resources are subscribed to here."""

    def told(self, envelope: Envelope) -> bool:
        """A notification of another kind; whether it was one of a task."""
        if not envelope.method.startswith(NEWS):
            return False
        try:
            theirs = named_in(envelope.params)
        except msgspec.DecodeError:
            return True
        ours = self._names.get(theirs)
        if ours is not None:
            raw = encode({"jsonrpc": "2.0", "method": envelope.method, "params": envelope.params})
            message = news(envelope.method, raw, TaskIds(theirs, ours))
            if message is not None:
                task = asyncio.ensure_future(self._tell(message))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)
        return True
