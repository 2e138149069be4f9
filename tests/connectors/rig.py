"""Connectors on a real NATS and Postgres; the test plays the edge, the router, authsvc and projections."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StorageType

from callboard.contracts import subjects
from callboard.contracts.access import OpenedSecrets, OpenSecrets
from callboard.contracts.calls import (
    CHUNK,
    ERROR,
    MODERN,
    NOTIFICATION,
    RESULT,
    AskCallHeld,
    CallHead,
    CallRecord,
    CancelCall,
    ReplyHead,
    decode_record,
    frame,
    record_lines,
    unframe_reply,
)
from callboard.contracts.definitions import ServerDefinition
from callboard.contracts.events import (
    Event,
    EventMeta,
    ServerCatalogueDiscovered,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
)
from callboard.contracts.playbooks import Done, RecordCatalogue
from callboard.contracts.status import AskStatus, InstanceStatus, LogHint, ServerStatus
from callboard.contracts.upstreams import PlaceServer, Probed, ProbeServer
from callboard.local.nats_server import EmbeddedNats
from callboard.platform.bus_identity import Permissions, user_creds
from callboard.platform.event_store import EventStore, Write
from callboard_connectors.app import ConnectorsRoom, build
from callboard_connectors.settings import ConnectorsSettings
from tests.support.upstreams.launch import ROOT, command, die_with_parent
from tests.support.waiting import PATIENCE, eventually, settled

ORG = "acme"
WAIT = 10.0


class Wish(msgspec.Struct, frozen=True):
    text: str = ""


class Answer:
    """What came to the inbox of one call."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.frames: list[tuple[ReplyHead, bytes]] = []
        self.done = asyncio.Event()
        self.reply_to = ""

    @property
    def last(self) -> ReplyHead:
        return self.frames[-1][0]

    @property
    def body(self) -> bytes:
        return b"".join(body for head, body in self.frames if head.kind in (CHUNK, RESULT, ERROR))

    @property
    def result(self) -> Any:
        assert self.last.kind == RESULT, self.body[:500]
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        assert self.last.kind == ERROR, self.body[:500]
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return str(self.result["content"][0]["text"])

    @property
    def notifications(self) -> list[Any]:
        return [json.loads(body) for head, body in self.frames if head.kind == NOTIFICATION]


class Worker:
    """A connectors process."""

    def __init__(self, instance: str, process: asyncio.subprocess.Process) -> None:
        self.instance = instance
        self.process = process

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


class Rig:
    """Everything one test needs; `close` ends what it started."""

    def __init__(self, directory: Path, nats: EmbeddedNats, dsn: str) -> None:
        self.directory = directory
        self.nats = nats
        self.dsn = dsn
        self.client = Client()
        self.rooms: list[ConnectorsRoom] = []
        self.workers: list[Worker] = []
        self.catalogues: list[RecordCatalogue] = []
        self.records: list[CallRecord] = []
        self.bursts: list[int] = []
        self.secrets: dict[str, str] = {}
        self.refusals: list[str] = []
        self._answers: dict[str, Answer] = {}
        self._numbers = itertools.count(1)
        self._path = directory / "connectors.creds"

    async def open(self) -> None:
        publish, subscribe = subjects.PERMISSIONS["connectors"]
        inbox = f"{subjects.inbox('connectors')}.>"
        own = Permissions(publish=publish, subscribe=(*subscribe, inbox), allow_responses=True)
        user_creds(self.nats.trust, "connectors", own).save(self._path)
        everything = Permissions(publish=(">",), subscribe=(">",))
        await self.client.connect(
            self.nats.url,
            user_credentials=user_creds(self.nats.trust, "test", everything).raw(),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,  # type: ignore[arg-type]  # seconds as a float
            inbox_prefix=b"_INBOX.edge.test",
        )
        self.pool = await asyncpg.create_pool(self.dsn, min_size=1, max_size=3)
        self.store = EventStore(self.pool, self._appended)
        await self.make_bucket()
        await self.client.subscribe("_INBOX.edge.calls.*", cb=self._on_frame)
        await self.client.subscribe(subjects.RECORD_CATALOGUE, cb=self._on_catalogue)
        await self.client.subscribe(subjects.OPEN_SECRETS, cb=self._on_secrets)
        await self.client.subscribe(f"{subjects.RECORD}.>", cb=self._on_record)
        await settled(self.client)

    async def make_bucket(self) -> None:
        await self.client.jetstream().create_key_value(
            bucket=subjects.BUCKET_LEASES, history=1, ttl=30.0, storage=StorageType.MEMORY
        )

    # ---------------------------------------------------------------------------------- other rooms

    async def _appended(self, organisation: str, seq: int) -> None:
        hint = LogHint(organisation=organisation, seq=seq)
        await self.client.publish(subjects.hint(organisation), msgspec.json.encode(hint))

    async def _on_frame(self, msg: Msg) -> None:
        answer = self._answers[msg.subject]
        answer.frames.append(unframe_reply(msg.data))
        if answer.last.kind in (RESULT, ERROR):
            answer.done.set()

    async def _on_catalogue(self, msg: Msg) -> None:
        wanted = msgspec.json.decode(msg.data, type=RecordCatalogue)
        if self.refusals:
            problem = {"type": "problem", "code": self.refusals.pop(0), "message": "not now"}
            await self.client.publish(msg.reply, json.dumps(problem).encode(), headers={"cb-problem": "x"})
            return
        event = ServerCatalogueDiscovered(server=wanted.server, digest=wanted.digest, catalogue=wanted.catalogue)
        seq = await self.append(wanted.server, event)
        self.catalogues.append(wanted)
        await msg.respond(msgspec.json.encode(Done(seq=seq)))

    async def _on_secrets(self, msg: Msg) -> None:
        names = msgspec.json.decode(msg.data, type=OpenSecrets).secrets
        values = {name: self.secrets[name] for name in names if name in self.secrets}
        await msg.respond(msgspec.json.encode(OpenedSecrets(values=values)))

    async def _on_record(self, msg: Msg) -> None:
        records = [decode_record(line) for line in record_lines(msg.data)]
        self.records += records
        self.bursts.append(len(records))

    async def append(self, server: str, event: Event) -> int:
        write = Write(f"server-{server}", (event,))
        meta = EventMeta(actor="test")
        return (await self.store.append(ORG, str(uuid.uuid4()), Wish(), meta, [write])).last_seq

    async def register(self, server: str, **definition: Any) -> None:
        await self.append(server, ServerRegistered(server=server, definition=ServerDefinition(**definition)))

    async def reconfigure(self, server: str, **definition: Any) -> None:
        await self.append(server, ServerReconfigured(server=server, definition=ServerDefinition(**definition)))

    async def retire(self, server: str) -> None:
        await self.append(server, ServerRetired(server=server))

    async def register_stdio(self, server: str, module: str, *args: str) -> None:
        await self.register(server, command=tuple(command(module, *args)))

    # ---------------------------------------------------------------------------------- connectors

    def settings(self, **changes: Any) -> ConnectorsSettings:
        values: dict[str, Any] = {
            "nats_url": self.nats.url,
            "nats_credentials": str(self._path),
            "database_url": self.dsn,
            "private_upstreams": "*",
        }
        return ConnectorsSettings(**values | changes)

    async def room(self, **changes: Any) -> ConnectorsRoom:
        """A worker in this process."""
        room = build(self.settings(**changes), f"w{len(self.rooms) + 1}")
        self.rooms.append(room)
        await room.start()
        return room

    async def worker(self, instance: str, **changes: Any) -> Worker:
        """A worker of its own."""
        settings = self.settings(instance=instance, **changes)
        names = {field: getattr(settings, field) for field in settings.__struct_fields__}
        shared = ("nats_url", "nats_credentials", "database_url", "instance")
        env = {
            **{f"CALLBOARD_{name.upper()}": str(names[name]) for name in shared},
            "CALLBOARD_CONNECTORS_PRIVATE_UPSTREAMS": "*",
            **{f"CALLBOARD_CONNECTORS_{name.upper()}": str(value) for name, value in changes.items()},
        }
        with (self.directory / f"{instance}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "callboard_connectors",
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory), **env},
                stderr=log,
                cwd=ROOT,
                preexec_fn=die_with_parent(),
            )
        worker = Worker(instance, process)
        self.workers.append(worker)
        await eventually(lambda: self.is_ready(instance))
        return worker

    async def is_ready(self, instance: str) -> bool:
        """Whether it takes calls; it answers to its name before it does."""
        return any(status.instance == instance and status.ready for status in await self.statuses())

    def log_of(self, instance: str) -> str:
        return (self.directory / f"{instance}.log").read_text()

    async def statuses(self) -> list[InstanceStatus]:
        inbox = self.client.new_inbox()
        subscription = await self.client.subscribe(inbox)
        await self.client.publish(subjects.STATUS, msgspec.json.encode(AskStatus()), reply=inbox)
        found: list[InstanceStatus] = []
        expected = len(self.rooms) + sum(worker.process.returncode is None for worker in self.workers)
        with suppress(Exception):
            while len(found) < expected:
                message = await subscription.next_msg(timeout=1.0)
                if message.data:
                    found.append(msgspec.json.decode(message.data, type=InstanceStatus))
        await subscription.unsubscribe()
        return found

    async def owner(self, server: str) -> tuple[str, ServerStatus] | None:
        """Which worker owns a server, and how it sees it."""
        for status in await self.statuses():
            for line in status.servers:
                if line.server == server and line.owner:
                    return status.instance, line
        return None

    async def status_of(self, server: str) -> ServerStatus:
        found = await self.owner(server)
        assert found is not None, f"nobody owns {server}"
        return found[1]

    async def online(self, server: str, within: float = PATIENCE) -> ServerStatus:
        """Wait until the server is owned, connected and listed."""

        async def is_online() -> ServerStatus | None:
            found = await self.owner(server)
            return found[1] if found is not None and found[1].state == "ONLINE" else None

        status = await eventually(is_online, within=within)
        await eventually(lambda: any(known.server == server for known in self.catalogues), within=within)
        assert status is not None
        return status

    async def probe(self, **definition: Any) -> Probed:
        wanted = ProbeServer(organisation=ORG, server="new", definition=ServerDefinition(**definition))
        reply = await self.client.request(subjects.PROBE, msgspec.json.encode(wanted), timeout=PATIENCE)
        return msgspec.json.decode(reply.data, type=Probed)

    async def place(self, server: str) -> None:
        wanted = PlaceServer(organisation=ORG, server=server)
        await self.client.publish(subjects.PLACE, msgspec.json.encode(wanted))

    # --------------------------------------------------------------------------------------- calls

    def head(self, server: str, method: str, name: str, answer: Answer, **changes: Any) -> CallHead:
        now = time.time_ns() // 1000
        values: dict[str, Any] = {
            "call_id": answer.call_id,
            "method": method,
            "organisation": ORG,
            "playbook": "start",
            "version": 3,
            "server": server,
            "upstream_name": name,
            "wire_name": f"{server}__{name}",
            "digest": "sha256:d",
            "reply_to": answer.reply_to,
            "era": MODERN,
            "client": "agent",
            "principal": "k1",
            "deadline": now // 1000 + int(changes.pop("within", WAIT) * 1000),
            "received": now,
            "routed": now + 10,
        }
        return CallHead(**values | changes)

    async def send(
        self,
        server: str,
        name: str,
        arguments: Any = None,
        *,
        method: str = "tools/call",
        raw: bytes = b"",
        **more: Any,
    ) -> Answer:
        """Send a call as the router does; returns at once."""
        answer = Answer(more.pop("call_id", "") or f"call-{next(self._numbers)}-{os.urandom(3).hex()}")
        answer.reply_to = f"_INBOX.edge.calls.{answer.call_id}"
        self._answers[answer.reply_to] = answer
        params: dict[str, Any] = {"name": f"{server}__{name}", "arguments": arguments or {}}
        if "meta" in more:
            params["_meta"] = more.pop("meta")
        head = self.head(server, method, name, answer, **more)
        await self.client.publish(
            subjects.call(ORG, server), frame(head, raw or json.dumps(params).encode()), reply="cb.returned.x.1"
        )
        return answer

    async def call(self, server: str, name: str, arguments: Any = None, **more: Any) -> Answer:
        """Send a call and wait for its last message."""
        answer = await self.send(server, name, arguments, **more)
        await asyncio.wait_for(answer.done.wait(), PATIENCE + WAIT)
        return answer

    async def cancel(self, **which: str) -> None:
        await self.client.publish(subjects.CANCEL, msgspec.json.encode(CancelCall(**which)))

    async def is_held(self, call_id: str) -> bool:
        """Ask every worker; silence means no."""
        inbox = self.client.new_inbox()
        subscription = await self.client.subscribe(inbox)
        try:
            question = msgspec.json.encode(AskCallHeld(call_id=call_id))
            await self.client.publish(subjects.CALL_HELD, question, reply=inbox)
            return (await subscription.next_msg(timeout=0.5)).data == b"held"
        except TimeoutError:
            return False
        finally:
            await subscription.unsubscribe()

    async def record_of(self, answer: Answer) -> CallRecord:
        return await eventually(
            lambda: next((record for record in self.records if record.call_id == answer.call_id), None)
        )  # type: ignore[return-value]  # eventually returns only what is there

    async def close(self) -> None:
        for room in self.rooms:
            await room.stop()
        for worker in self.workers:
            if worker.process.returncode is None:
                worker.process.kill()
            await worker.process.wait()
        await self.client.close()
        await self.pool.close()
