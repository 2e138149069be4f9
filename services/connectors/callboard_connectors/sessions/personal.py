"""Servers that every caller signs in to by themselves: for each caller an upstream of its own, and nothing shared.

Above: `calls.perform`. What all share of such a server (its catalogue) is listed with a sign-in that no call uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from callboard.contracts.access import ANONYMOUS_KEY
from callboard.contracts.calls import CallHead
from callboard.contracts.problems import Problem

if TYPE_CHECKING:
    from callboard_connectors.sessions.upstream import Upstream

MOST = 256
"""Callers with sessions of their own, per server and worker."""
IDLE_SECONDS = 600.0


class Personal:
    """The upstreams of single callers, by the name of their client."""

    def __init__(self, shared: Upstream, make: Callable[[str], Upstream]) -> None:
        self._shared = shared
        self._server = shared.key.server
        self._make = make
        self._own: dict[str, Upstream] = {}
        self._used: dict[str, float] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, head: CallHead) -> Upstream:
        """The upstream of this caller. Raises `Problem` for one whom nobody knows, or when there are too many."""
        if head.principal == ANONYMOUS_KEY or not head.client:
            words = f"server {self._server!r} is signed in to by each caller, and a caller without a token has no name"
            raise Problem("server.sign_in_needed", words, server=self._server)
        now = asyncio.get_running_loop().time()
        own = self._own.get(head.client)
        if own is None:
            self._make_room(now)
            own = self._own[head.client] = self._make(head.client)
        own.wanted = self._shared.wanted  # with what was listed since
        self._used[head.client] = now
        return own

    def _make_room(self, now: float) -> None:
        """Let go of who has not called for long; when all are busy, nobody else comes in."""
        idle = [client for client, own in self._own.items() if not own.in_flight]
        for client in idle:
            if now - self._used[client] > IDLE_SECONDS:
                self._let_go(client)
        if len(self._own) >= MOST:
            idle = [client for client in idle if client in self._own]
            if not idle:
                raise Problem("server.unavailable", f"server {self._server!r} is busy with {MOST} callers")
            self._let_go(min(idle, key=self._used.__getitem__))

    def depart(self, client: str) -> None:
        """The sign-in of this caller ended: whoever calls under the name next connects anew."""
        if client in self._own:
            self._let_go(client)

    def _let_go(self, client: str) -> None:
        del self._used[client]
        task = asyncio.get_running_loop().create_task(self._own.pop(client).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Let go of all."""
        for client in tuple(self._own):
            self._let_go(client)
        await asyncio.gather(*self._closing, return_exceptions=True)
