"""What the edge knows of playbooks: the answer to `callboard/open`, kept until the router says that it changed.

Also the hub of open streams: when a list changes, every agent that listens is told once.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain

import msgspec
import structlog

from callboard.contracts import subjects
from callboard.contracts.calls import RESULT, RpcHead
from callboard.contracts.playbooks import CatalogueChanged, Opened, ResourceOwner
from callboard.contracts.problems import CODES, Problem
from callboard_edge.mcp.calls import Calls
from callboard_edge.mcp.gate import Asker, Place
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
        self._doubted: set[Place] = set()
        self._comparing: asyncio.Task[None] | None = None

    async def open(self, place: Place, asker: Asker) -> Opened:
        """Title, capabilities and instructions of a playbook; a `Problem` when it cannot be entered."""
        kept = self._opened.get((place, asker.anonymous))
        if kept is not None and time.monotonic() - kept[1] < KEEP:
            return kept[0]
        return await self._open_anew(place, asker)

    async def _open_anew(self, place: Place, asker: Asker) -> Opened:
        opened = _opened(await self._ask("callboard/open", place, b"{}", asker))
        if opened.divided:
            self._opened.pop((place, asker.anonymous), None)
        else:
            self._opened[(place, asker.anonymous)] = (opened, time.monotonic())
        return opened

    async def owner(self, place: Place, uri: str, asker: Asker) -> str:
        """Whose resource this is; `resource.unknown` when it is nobody's."""
        return _owner(await self._ask("callboard/owner", place, _encode({"uri": uri}), asker)).server

    async def _ask(self, method: str, place: Place, params: bytes, asker: Asker) -> bytes:
        now = time.time_ns() // 1000
        head = RpcHead(
            call_id=self._calls.new_id(now),
            method=method,
            era="",
            client=asker.client,
            principal=asker.principal,
            deadline=now // 1000 + 10_000,
            received=now,
            session=asker.session,
            version=place.version,
            anonymous=asker.anonymous,
            selection=place.selection,
            reached=self._calls.reached(place.organisation),
            member=asker.member,
            oauth_client=asker.oauth_client,
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
        organisation, playbook = change.organisation, change.playbook
        self._calls.told(organisation, change.seq)
        for key in [k for k in self._opened if k[0].organisation == organisation and k[0].shows(playbook)]:
            del self._opened[key]
        if change.version:
            self._offer(change)
        several = self._listeners.get((organisation, subjects.SEVERAL), ())
        self._compare_soon(listener.place for listener in several if listener.place.shows(playbook))

    def _offer(self, change: CatalogueChanged) -> None:
        """To whoever is served the current version; what the others see has to be asked for."""
        listeners = self._listeners.get((change.organisation, change.playbook), ())
        # Whoever lost something may have it again, also because nothing is divided any more.
        others = {
            one.place for one in listeners if change.divided or one.lost or one.place.version not in (0, change.version)
        }
        for listener in listeners:
            if listener.place not in others:
                listener.offer(change.etags)
        self._compare_soon(others)

    def _compare_soon(self, places: Iterable[Place]) -> None:
        """Not every listener at these sees the lists that changed (it sees several playbooks, or is served another
        version): ask for theirs."""
        self._doubted.update(places)
        if self._doubted and (self._comparing is None or self._comparing.done()):
            self._comparing = asyncio.create_task(self._compare_doubted())

    async def _compare_doubted(self) -> None:
        # Every router says when it has changed, so the last answer that comes after one of these is the new one.
        while self._doubted:
            await self._compare(self._doubted.pop())

    async def refresh(self) -> None:
        """The bus was away and a change may have been missed: compare every stream with what is now."""
        self._opened.clear()
        for place in {listener.place for listener in self.listeners()}:
            await self._compare(place)

    async def _compare(self, place: Place) -> None:
        """Ask for each of the listeners there, or for the first one only when all of them see the same."""
        askers: dict[Asker, list[Listener]] = {}
        for listener in self._listeners.get(place[:2], ()):
            if listener.place == place:
                askers.setdefault(listener.asker, []).append(listener)
        for asker, listeners in askers.items():
            try:
                opened = await self._open_anew(place, asker)
            except Problem as problem:
                log.info("refresh_failed", playbook=f"{place.organisation}/{place.playbook}", reason=problem.code)
                continue
            for listener in listeners if opened.divided else chain.from_iterable(askers.values()):
                listener.offer(opened.etags)
            if not opened.divided:
                for listener in [one for one in chain.from_iterable(askers.values()) if one.lost]:
                    await self.judge(listener)
                return
            for listener in listeners:
                await self.judge(listener)

    async def judge(self, listener: Listener) -> None:
        """What its caller may not have any more, it hears nothing of until that is otherwise."""
        for uri, server in {**listener.watched, **listener.lost}.items():
            try:
                await self.owner(listener.place, uri, listener.asker)
            except Problem as problem:
                if problem.code == "resource.unknown":
                    listener.lose(uri, server)
            else:
                listener.find(uri, server)
        await listener.judge_tasks()

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
