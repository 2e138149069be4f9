"""The connector as a library: its classes as `callboard_connectors.app` wires them, for one server and without a bus.

The client on top is as small as can be: it offers every capability, accepts what it is asked with the defaults of the
form, and comes back with `inputResponses` when a stateless answer wants them.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from callboard.contracts.calls import (
    CHUNK,
    ERROR,
    MODERN,
    NOTIFICATION,
    REQUEST,
    RESULT,
    AnswerHead,
    CallHead,
    ReplyHead,
    frame,
    unframe_reply,
)
from callboard.contracts.definitions import Catalogue, ServerDefinition
from callboard_authsvc.upstream_oauth.ports import Here
from callboard_connectors.calls.in_flight import InFlight
from callboard_connectors.calls.perform import Calls
from callboard_connectors.discovery.interest import Interest
from callboard_connectors.discovery.keep import Keeper
from callboard_connectors.registry.domain import ServerKey, Wanted
from callboard_connectors.sessions.open import Limits, SessionOpener
from callboard_connectors.sessions.upstream import Upstream
from callboard_connectors.settings import ConnectorsSettings
from callboard_connectors.tasks.identify import Tasks
from callboard_connectors.transports.guardian import Guardian
from tests.support.signing_in import Attended, Memory, wired
from tests.support.waiting import eventually
from tests.support.ways_out import LOCAL

_SECONDS = 15.0
_MAX_FRAME = 1 << 20
_ROUNDS = 8
ORGANISATION, SERVER = "conformance", "mock"
HERE = Here(
    redirect_uri="http://localhost:3000/callback",
    document="https://conformance-test.local/client-metadata.json",
    connect="http://localhost:3000/connect",
)
CAPABILITIES: dict[str, Any] = {"elicitation": {}, "sampling": {}, "roots": {}}


class Failed(Exception):
    """The server cannot be used, or a call was answered with an error."""


class _NoSecrets:
    async def open(self, organisation: str, secrets: tuple[str, ...]) -> dict[str, str]:
        return {}


class _Recorder:
    """Stands where the router is told of a catalogue."""

    catalogue: Catalogue | None = None

    def new_id(self) -> str:
        return os.urandom(8).hex()

    async def updated(self, key: ServerKey, uri: str) -> None:
        """Nobody watches."""

    async def record(self, key: ServerKey, digest: str, catalogue: Catalogue, command_id: str) -> None:
        self.catalogue = catalogue


class _TaskKeys:
    """One key for all, as authsvc derives one for each organisation."""

    async def key(self, organisation: str) -> bytes:
        return bytes(64)


async def _flushed() -> None:
    """There is no bus that could be behind."""


def _recorded(subject: str, record: bytes) -> None:
    """Records of calls are for nobody."""


class Connector:
    """`async with`: connected and listed; `catalogue` is what it found, `heard` the notifications of its calls."""

    def __init__(self, definition: ServerDefinition, secrets: Mapping[str, str] | None = None) -> None:
        memory = Memory(
            definitions={(ORGANISATION, SERVER): definition},
            values={(ORGANISATION, name): value for name, value in (secrets or {}).items()},
        )
        settings = ConnectorsSettings(nats_url="", database_url="")
        limits = Limits(
            connect_seconds=settings.connect_seconds, max_body_bytes=settings.max_body_bytes, allow_stdio=False
        )
        opener = SessionOpener(Guardian(), _NoSecrets(), limits, {}, LOCAL, Attended(wired(memory, here=HERE)))
        wanted = Wanted(definition=definition, revision=1)
        self._upstream = Upstream(ServerKey(ORGANISATION, SERVER), wanted, opener, time.monotonic)
        tasks = Tasks(_TaskKeys())
        self._calls = Calls(
            InFlight(), self._published, _flushed, _recorded, tasks, _MAX_FRAME, settings.bulkhead, "shim"
        )
        self._recorder = _Recorder()
        self._keeper = Keeper(self._upstream, self._recorder, settings.poll_seconds, Interest())
        self._keeping: asyncio.Task[None] | None = None
        self.heard: list[dict[str, Any]] = []
        self._inboxes: dict[str, asyncio.Queue[tuple[ReplyHead, bytes]]] = {}

    async def __aenter__(self) -> Connector:
        self._keeping = asyncio.create_task(self._keeper.run())
        try:
            await eventually(lambda: self._recorder.catalogue or self._fault, within=_SECONDS)
            if self._recorder.catalogue is None:
                raise Failed(self._fault)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._upstream.close()

    @property
    def _fault(self) -> str:
        return self._upstream.problem or self._upstream.discovery_problem

    @property
    def catalogue(self) -> Catalogue:
        assert self._recorder.catalogue is not None, "not listed"
        return self._recorder.catalogue

    @property
    def tools(self) -> list[str]:
        """The tools that a playbook would show: those without a fault."""
        return [tool.name for tool in self.catalogue.tools if tool.problem is None]

    # ---------------------------------------------------------------------------------------- a client

    async def call(self, era: str, method: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
        """What a client of this era gets in the end; raises `Failed` for an error."""
        sent = params
        for _ in range(_ROUNDS):
            result = await self._once(era, method, name, sent)
            if result.get("resultType") != "input_required":
                return result
            asked = result.get("inputRequests", {})
            sent = {**params, "inputResponses": {key: accepted(each) for key, each in asked.items()}}
            if "requestState" in result:
                sent["requestState"] = result["requestState"]
        raise Failed(f"{name} asks again and again")

    async def _once(self, era: str, method: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
        head = _head(era, method, name)
        inbox = self._inboxes[head.reply_to] = asyncio.Queue()
        self._calls.begin(self._upstream, frame(head, json.dumps(params).encode()))
        pieces: list[bytes] = []
        while True:
            reply, body = await asyncio.wait_for(inbox.get(), _SECONDS)
            if reply.kind == REQUEST:
                self._answer(head, json.loads(body))
            elif reply.kind == NOTIFICATION:
                self.heard.append(json.loads(body))
            elif reply.kind in (CHUNK, RESULT):
                pieces.append(body)
            elif reply.kind == ERROR:
                raise Failed(body.decode())
            if reply.kind == RESULT:
                result: dict[str, Any] = json.loads(b"".join(pieces))
                return result

    def _answer(self, head: CallHead, question: dict[str, Any]) -> None:
        body = json.dumps({"result": accepted(question)}).encode()
        self._calls.questions.answered(AnswerHead(question["id"], head.session, head.principal), body)

    async def _published(self, subject: str, data: bytes) -> None:
        """Stands where the bus is."""
        if subject in self._inboxes:
            self._inboxes[subject].put_nowait(unframe_reply(data))


def _head(era: str, method: str, name: str) -> CallHead:
    call_id, now = os.urandom(8).hex(), time.time_ns() // 1000
    return CallHead(
        call_id=call_id,
        method=method,
        organisation=ORGANISATION,
        playbook="shim",
        version=1,
        server=SERVER,
        upstream_name=name,
        wire_name=name,
        digest="",
        reply_to=f"_INBOX.shim.{call_id}",
        era=era,
        client="shim",
        principal="shim",
        deadline=now // 1000 + int(_SECONDS * 1000),
        received=now,
        routed=now,
        session="" if era == MODERN else "shim",
        capabilities=json.dumps(CAPABILITIES).encode(),
    )


def accepted(question: dict[str, Any]) -> dict[str, Any]:
    """The answer of somebody who says yes to everything and changes nothing in a form.

    The defaults of a form are filled in here, because only who shows the form knows what was left as it was; Callboard
    passes both the form and the answer on as they are.
    """
    if question["method"] == "sampling/createMessage":
        return {"role": "assistant", "content": {"type": "text", "text": "Yes."}, "model": "none"}
    if question["method"] == "roots/list":
        return {"roots": []}
    fields = question["params"].get("requestedSchema", {}).get("properties", {})
    content = {name: field["default"] for name, field in fields.items() if "default" in field}
    return {"action": "accept", "content": content}
