"""Group commit: commands that arrive while an append is under way share the next transaction.

Each commit has to be on the disk, and an organisation is locked until it is; what waits together may as well be
written together. A command that comes alone is sent at once. Each keeps its own outcome. An organisation has one of
a few lanes, so that at most its lane waits for it.

Above: `event_store`. Below: `cb.append_many` of `migrations/0007_append_many.sql`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import msgspec

LANES = 2
MOST_COMMANDS = 64
MOST_BYTES = 8_000_000
"""What one transaction takes at most, beyond its first command: one with a big event holds up few others."""


class Append(msgspec.Struct, frozen=True):
    """One command as it goes to the database. `events`: (id, stream, type, schema version, payload) each.

    `trace`: the traceparent of the command, where it is sampled; the database is not told.
    """

    organisation: str
    command: uuid.UUID
    request_hash: bytes
    streams: tuple[tuple[str, int | None], ...]
    events: tuple[tuple[uuid.UUID, str, str, int, str], ...]
    meta: str
    trace: str = ""

    @property
    def size(self) -> int:
        """About how many bytes it writes."""
        return sum(len(payload) for *_, payload in self.events)


def arguments(appends: Sequence[Append]) -> tuple[object, ...]:
    """The arguments of `sql/append_many.sql`; `appends` are sorted by organisation."""
    streams = [stream for append in appends for stream in append.streams]
    events = [event for append in appends for event in append.events]
    return (
        [append.organisation for append in appends],
        [append.command for append in appends],
        [append.request_hash for append in appends],
        [len(append.streams) for append in appends],
        [len(append.events) for append in appends],
        [stream for stream, _ in streams],
        [expected for _, expected in streams],
        *([event[part] for event in events] for part in range(5)),
        [append.meta for append in appends for _ in append.events],
    )


Answer = asyncpg.Record
Write = Callable[[Sequence[Append]], Awaitable[Sequence[Answer]]]
_Waiting = tuple[Append, "asyncio.Future[Answer]"]


class GroupedAppends:
    """The lanes. `write` makes one transaction and gives one answer per command, in order."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._lanes: dict[int, deque[_Waiting]] = {}
        self._work: set[asyncio.Task[None]] = set()

    async def submit(self, append: Append) -> Answer:
        """Write the command, with those that wait with it; raises what its write raised."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        lane = hash(append.organisation) % LANES
        waiting = self._lanes.get(lane)
        if waiting is not None:
            waiting.append((append, answer))
            return await answer
        self._lanes[lane] = deque([(append, answer)])
        task = asyncio.create_task(self._empty(lane))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await answer

    async def _empty(self, lane: int) -> None:
        waiting = self._lanes[lane]
        group: list[_Waiting] = []
        try:
            while waiting:
                group = _next_group(waiting)
                await self._answer(group)
        finally:
            # Nobody awaits this task: when it is cancelled, those who wait must not wait for ever.
            for _, answer in (*group, *waiting):
                answer.cancel()
            del self._lanes[lane]

    async def _answer(self, group: Sequence[_Waiting]) -> None:
        try:
            answers = await self._write([append for append, _ in group])
        except Exception as error:
            if len(group) == 1:
                _give(group[0][1], error)
                return
            # One of them is to blame (a text that Postgres cannot hold); the others must not suffer for it.
            for one in group:
                await self._answer([one])
            return
        for (_, waiting), answer in zip(group, answers, strict=True):
            _give(waiting, answer)


def _next_group(queue: deque[_Waiting]) -> list[_Waiting]:
    group = [queue.popleft()]
    size = 0
    while queue and len(group) < MOST_COMMANDS and (size := size + queue[0][0].size) <= MOST_BYTES:
        group.append(queue.popleft())
    group.sort(key=lambda waiting: waiting[0].organisation)  # those of one organisation stay in the order they came
    return group


def _give(waiting: asyncio.Future[Answer], answer: Answer | Exception) -> None:
    if waiting.done():
        return  # whoever waited went away; its command was carried out all the same
    if isinstance(answer, Exception):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)
