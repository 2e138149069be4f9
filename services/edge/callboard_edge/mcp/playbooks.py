"""What the edge knows of playbooks: the answer to `callboard/open`, kept until the router says that it changed.

Also the hub of open streams: when a list changes, every agent that listens is told once.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator

import msgspec
import structlog

from callboard.contracts.calls import RESULT, RpcHead
from callboard.contracts.playbooks import CatalogueChanged, Opened, ResourceOwner
from callboard.contracts.problems import CODES, Problem
from callboard_edge.mcp.calls import Calls
from callboard_edge.mcp.gate import Place
from callboard_edge.mcp.listener import Listener

log = structlog.get_logger()
KEEP = 5.0
_opened = msgspec.json.Decoder(Opened).decode
_owner = msgspec.json.Decoder(ResourceOwner).decode
_encode = msgspec.json.Encoder().encode


class _Error(msgspec.Struct):
    message: str = ""


class Playbooks:
    """Opened playbooks and the streams that listen to them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._opened: dict[tuple[Place, bool], tuple[Opened, float]] = {}
        self._listeners: dict[tuple[str, str], set[Listener]] = defaultdict(set)

    async def open(self, place: Place, *, anonymous: bool) -> Opened:
        """Title, capabilities and instructions of a playbook; a `Problem` when it cannot be entered."""
        kept = self._opened.get((place, anonymous))
        if kept is not None and time.monotonic() - kept[1] < KEEP:
            return kept[0]
        opened = _opened(await self._ask("callboard/open", place, b"{}", anonymous))
        self._opened[(place, anonymous)] = (opened, time.monotonic())
        return opened

    async def owner(self, place: Place, uri: str, *, anonymous: bool) -> str:
        """Whose resource this is; `resource.unknown` when it is nobody's."""
        return _owner(await self._ask("callboard/owner", place, _encode({"uri": uri}), anonymous)).server

    async def _ask(self, method: str, place: Place, params: bytes, anonymous: bool) -> bytes:
        now = time.time_ns() // 1000
        head = RpcHead(
            call_id=self._calls.new_id(now),
            method=method,
            era="",
            client="",
            principal="",
            deadline=now // 1000 + 10_000,
            received=now,
            version=place.version,
            anonymous=anonymous,
        )
        call = await self._calls.send(head, place.organisation, place.playbook, params)
        try:
            reply, body = await call.next()
            while reply.kind < 0:
                reply, body = await call.next()
        finally:
            self._calls.forget(call)
        if reply.kind != RESULT:
            code = reply.problem if reply.problem in CODES else "internal.unexpected"
            raise Problem(code, msgspec.json.decode(body, type=_Error).message)
        return body

    def changed(self, change: CatalogueChanged) -> None:
        """The router says what a playbook exposes now."""
        for key in [k for k in self._opened if k[0][:2] == (change.organisation, change.playbook)]:
            del self._opened[key]
        for listener in self._listeners.get((change.organisation, change.playbook), ()):
            # A pinned version's own definition never changes, but the catalogues behind it may.
            listener.offer(change.etags)

    async def refresh(self) -> None:
        """The bus was away and a change may have been missed: compare every stream with what is now."""
        self._opened.clear()
        for key, listeners in list(self._listeners.items()):
            for place in {listener.place for listener in listeners}:
                try:
                    opened = await self.open(place, anonymous=False)
                except Problem as problem:
                    log.info("refresh_failed", playbook="/".join(key), reason=problem.code)
                    continue
                for listener in listeners:
                    if listener.place == place:
                        listener.offer(opened.etags)

    def listen(self, listener: Listener) -> None:
        """A stream was opened."""
        self._listeners[listener.place[:2]].add(listener)

    def leave(self, listener: Listener) -> None:
        """A stream was closed."""
        group = self._listeners.get(listener.place[:2])
        if group is not None:
            group.discard(listener)
            if not group:
                del self._listeners[listener.place[:2]]

    def listeners(self) -> Iterator[Listener]:
        """Every open stream."""
        for group in self._listeners.values():
            yield from group

    def close_all(self) -> None:
        """This instance stops."""
        for group in self._listeners.values():
            for listener in group:
                listener.close()

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return sum(len(group) for group in self._listeners.values())
