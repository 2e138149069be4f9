"""The same organisation in the real thing: deciders, event store on Postgres, follower, read models; without a bus.

Two routers decide by turns, each with a state of its own; either may crash at any moment, before or after its append.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, assert_never

import asyncpg
import msgspec

from callboard.contracts.assignments import EndCanary, PinClient, PromoteCanary, StartCanary, UnpinClient
from callboard.contracts.calls import MODERN
from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    DriftPolicy,
    PlaybookDefinition,
    PlaybookServer,
    ServerDefinition,
    ToolRules,
)
from callboard.contracts.drafts import DiscardDraft, EditDraft, PublishDraft
from callboard.contracts.drift import ApproveDrift, RejectDrift
from callboard.contracts.events import EventMeta, OrganisationCreated, Recorded
from callboard.contracts.playbooks import (
    ApplyOrganisation,
    ImportPlaybook,
    RecordCatalogue,
    RetirePlaybook,
    RetireServer,
    RollBackPlaybook,
)
from callboard.contracts.upstreams import Probed
from callboard.kernel.digest import digest_of, digest_of_json
from callboard.platform.event_store import Appended, EventStore, Within, Write
from callboard.platform.log_follower import LogFollower
from callboard_projections.audit.verify import verify
from callboard_projections.history.fold import Folder, fold_batch
from callboard_projections.history.projection import Projection
from callboard_projections.history.read import Reads
from callboard_projections.history.registry import PROJECTIONS
from callboard_projections.rebuild.rebuild import Rebuilds
from callboard_router.catalogue.deadlines import Limits
from callboard_router.catalogue.served import Served
from callboard_router.decisions import Decisions
from callboard_router.drafts import edit as edit_draft
from callboard_router.drafts.publish import Publish
from callboard_router.playbooks import canary, decide_drift, import_playbook, pin, retire
from callboard_router.playbooks.apply import Apply
from callboard_router.playbooks.inquiries import Inquiries
from callboard_router.playbooks.roll_back import RollBack
from callboard_router.servers import record_catalogue
from callboard_router.servers import retire as retire_server
from callboard_router.state import Organisation, RouterState
from tests.model.model import Definition

Crash = Literal["", "before", "after"]
NOW = datetime(2026, 11, 20, tzinfo=UTC)


class Crashed(BaseException):
    """The process ended here. Nothing in it catches this."""


class CrashingStore(EventStore):
    """Ends the process at the next append, before it or after its commit."""

    crash: Crash = ""

    async def append(
        self,
        organisation: str,
        command_id: str,
        request: msgspec.Struct,
        meta: EventMeta,
        writes: Sequence[Write],
        within: Within | None = None,
        at: int | None = None,
    ) -> Appended:
        if self.crash == "before":
            raise Crashed
        answer = await super().append(organisation, command_id, request, meta, writes, within, at)
        if self.crash == "after":
            raise Crashed
        return answer


class Answering(Inquiries):
    """The servers of the test in the place of connectors."""

    def __init__(self, offers: Mapping[str, dict[str, int] | None]) -> None:
        self._offers = offers

    async def probe(self, organisation: str, servers: Mapping[str, ServerDefinition]) -> dict[str, Probed]:
        return {name: probed(name, self._offers[name]) for name in servers}


def probed(name: str, offers: dict[str, int] | None) -> Probed:
    """What a connector answers."""
    if offers is None:
        return Probed(server=name, problem="not reached")
    return Probed(server=name, catalogue=catalogue(offers), digest=digest_of(offers))


def catalogue(offers: Mapping[str, int]) -> Catalogue:
    """What a server says; `offers`: tool -> which of its descriptions."""
    items = (CatalogueItem(name=tool, digest=said(tool, n), raw=_RAW[tool, n]) for tool, n in offers.items())
    return Catalogue(era=MODERN, tools=tuple(items))


_RAW = {
    (tool, number): msgspec.Raw(msgspec.json.encode({"name": tool, "description": str(number), "inputSchema": {}}))
    for tool in ("log", "diff")
    for number in (1, 2, 3)
}
_DIGESTS = {key: digest_of_json(raw) for key, raw in _RAW.items()}


def said(tool: str, number: int) -> str:
    """The digest of what a server says of a tool; "" for one that is gone."""
    return _DIGESTS[tool, number] if number else ""


def written(definition: Definition) -> PlaybookDefinition:
    """The definition as a file has it."""
    rules = ToolRules(deny=tuple(sorted(definition.deny)))
    policy = definition.policy
    return PlaybookDefinition(
        title=definition.title,
        servers={name: PlaybookServer(tools=rules) for name in sorted(definition.servers)},
        drift=DriftPolicy(
            changed=_word(policy.hold_changed), added=_word(policy.hold_added), removed=_word(policy.hold_removed),
            approver=policy.approver,
        ),
    )  # fmt: skip


def _word(hold: bool) -> Literal["hold", "accept"]:
    return "hold" if hold else "accept"


def server(number: int) -> ServerDefinition:
    """One of the definitions of a server."""
    return ServerDefinition(command=("server", str(number)))


class Router:
    """The deciding half of the router's room, without its bus."""

    def __init__(self, store: EventStore, organisation: str, offers: Mapping[str, dict[str, int] | None]) -> None:
        self._organisation = organisation
        self._store = store
        self.state = RouterState()
        self.served = Served(self.state, 100, Limits(60_000, 3_600_000))
        self._follower = LogFollower(store, self._apply)
        self.decisions = Decisions(store, self._follower, self.state, "router/model")
        self._inquiries = Answering(offers)

    async def _apply(self, batch: list[Recorded]) -> None:
        self.served.compile(self.state.apply(batch))

    async def current(self) -> Organisation:
        """What this router knows, brought up to the log."""
        return await self.decisions.current(self._organisation)

    async def handle(self, command: Any) -> Any:
        """One command, as `entry/commands.py` hands it over."""
        decisions = self.decisions
        match command:
            case ApplyOrganisation():
                return await Apply(decisions, self._inquiries).apply(command)
            case RollBackPlaybook():
                return await RollBack(decisions, self._inquiries).roll_back(command)
            case ImportPlaybook():
                return await import_playbook.import_playbook(command, decisions)
            case RecordCatalogue():
                return await record_catalogue.record_catalogue(command, decisions)
            case RetireServer():
                return await retire_server.retire(command, decisions)
            case RetirePlaybook():
                return await retire.retire(command, decisions)
            case ApproveDrift() | RejectDrift():
                decided = decide_drift.approve if isinstance(command, ApproveDrift) else decide_drift.reject
                return await decided(command, decisions)  # type: ignore[operator]
            case PinClient() | UnpinClient():
                return await pin.pin(command, decisions)
            case StartCanary():
                return await canary.start(command, decisions, NOW)
            case PromoteCanary() | EndCanary():
                return await canary.end(command, decisions)
            case _:
                return await self._handle_draft(command)

    async def _handle_draft(self, command: EditDraft | DiscardDraft | PublishDraft) -> Any:
        match command:
            case EditDraft():
                return await edit_draft.edit(command, self.decisions)
            case DiscardDraft():
                return await edit_draft.discard(command, self.decisions)
            case PublishDraft():
                return await Publish(self.decisions, self._inquiries).publish(command)
            case _:
                assert_never(command)


class Gateway:
    """One organisation on a database of its own."""

    store_type: type[CrashingStore] = CrashingStore
    projections: Sequence[Projection] = PROJECTIONS

    def __init__(self, pool: asyncpg.Pool, organisation: str) -> None:
        self.pool = pool
        self.organisation = organisation
        self.store = self.store_type(pool, _nobody)
        self.offers: dict[str, dict[str, int] | None] = {}
        self.rebuilds = Rebuilds(pool, self.projections)
        self.routers = [self._new_router(), self._new_router()]
        self.restart_projections()

    def _new_router(self) -> Router:
        return Router(self.store, self.organisation, self.offers)

    def restart_router(self, number: int) -> None:
        """What it had in memory is gone; the log is read again."""
        self.store.crash = ""
        self.routers[number] = self._new_router()

    def restart_projections(self) -> None:
        """The same of the room of the read models."""
        self.folders = {projection.name: Folder(self.pool, projection) for projection in self.projections}
        self.reads = Reads(self.pool, self.store, self.folders)

    async def create(self) -> None:
        """The organisation begins."""
        event = OrganisationCreated(organisation=self.organisation)
        stream = f"organisation-{self.organisation}"
        command = RetireServer(command_id=str(uuid.uuid4()), organisation=self.organisation, server="", comment="")
        await self.store.append(
            self.organisation, command.command_id, command, EventMeta(actor="ann"), [Write(stream, (event,), 0)]
        )

    async def height(self) -> int:
        """How many events there are."""
        return (await self.store.heads())[self.organisation]

    async def fold_and_crash(self, name: str, limit: int) -> None:
        """A batch is folded, and the process ends before its commit."""
        projection = next(projection for projection in self.projections if projection.name == name)
        async with self.pool.acquire() as connection:
            live = await connection.fetchval("select suffix from rm.projection where projection = $1", name)
            transaction = connection.transaction()
            await transaction.start()
            await fold_batch(connection, projection, name, live, self.organisation, limit)
            await transaction.rollback()
        self.restart_projections()

    async def is_intact(self) -> bool:
        """Whether the hash chain holds."""
        return (await verify(self.pool, self.organisation)).intact

    async def wipe(self) -> None:
        """Leave the database as it was before the organisation, so that what is rebuilt stays small."""
        await self.pool.execute(_WIPE)


async def _nobody(organisation: str, seq: int) -> None:
    """There is no bus."""


_WIPE = """
do $$
declare name text;
begin
  set local session_replication_role = replica;
  delete from cb.event; delete from cb.command; delete from cb.stream; delete from cb.log_head; delete from cb.cursor;
  for name in select table_name from information_schema.tables
    where table_schema = 'rm' and table_type = 'BASE TABLE' and table_name not in ('projection', 'rebuild')
  loop execute format('delete from rm.%I', name); end loop;
end $$
"""
