"""The questions that the read models answer. A reader sees what was committed before the question came.

That is made true by folding, before the answer, what the log of the organisation holds beyond the cursor; when
nothing is new it costs one look at two rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase

import asyncpg
import msgspec

from callboard.contracts.assignments import CanaryLine, PinLine, Pins
from callboard.contracts.definitions import PlaybookContent, ServerDefinition
from callboard.contracts.events import KINDS, PublishedEvent
from callboard.contracts.playbooks import EXPORT_FORMAT, Caller, ExportedPlaybook, ExportedVersion
from callboard.contracts.problems import Problem
from callboard.contracts.records import (
    AskEvents,
    Callers,
    Definition,
    Diff,
    Events,
    Exported,
    History,
    LoggedEvent,
    OrganisationLine,
    Organisations,
    PlaybookLine,
    Playbooks,
    ServerLine,
    Servers,
    Version,
    VersionLine,
)
from callboard.kernel.diff import changed_digests, changes_between, named_tool, with_callers
from callboard.kernel.playbook_export import digests_of
from callboard.platform.event_store import EventStore, is_uuid, published_of, recorded_of
from callboard.platform.postgres import persist, sql
from callboard_projections.history.fold import Folder

_HERE = "callboard_projections"
_content = msgspec.json.Decoder(PlaybookContent).decode
_definition = msgspec.json.Decoder(ServerDefinition).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode
_encode = msgspec.json.Encoder().encode

MOST_EVENTS = 1000
MOST_BYTES = 2 * 1024 * 1024
_INT8 = 2**63 - 1


class Reads:
    """All queries on the log and its read models; a search ends after `patience` (as Postgres writes times)."""

    def __init__(self, pool: asyncpg.Pool, store: EventStore, folders: dict[str, Folder], patience: str = "8s") -> None:
        self._pool = pool
        self._store = store
        self._folders = folders
        self._patience = patience

    async def organisations(self) -> Organisations:
        """Every organisation with the height of its log."""
        await persist(self._folders["organisations"].catch_up_all)
        rows = await self._fetch("ask_organisations")
        return Organisations(organisations=tuple(OrganisationLine(**row) for row in rows))

    async def playbooks(self, organisation: str) -> Playbooks:
        """The playbooks of an organisation by name, retired ones included."""
        await self._fresh("playbooks", organisation)
        rows = await self._fetch("ask_playbooks", organisation)
        canaries = {canary.playbook: canary for canary in await self.canaries(organisation, "")}
        return Playbooks(playbooks=tuple(_playbook_line(row, canaries.get(row["playbook"])) for row in rows))

    async def history(self, organisation: str, playbook: str) -> History:
        """Every version, newest first; raises `playbook.unknown`."""
        await self._fresh("playbooks", organisation)
        rows = await self._fetch("ask_history", organisation, playbook)
        if not rows:
            raise _unknown_playbook(organisation, playbook)
        pins = (await self.pins(organisation, playbook)).pins
        canary = next(iter(await self.canaries(organisation, playbook)), None)
        return History(playbook=playbook, versions=tuple(_version_line(row) for row in rows), pins=pins, canary=canary)

    async def canaries(self, organisation: str, playbook: str) -> list[CanaryLine]:
        """The canaries that run, of a playbook or of all of them: at most one of each."""
        await self._fresh("assignments", organisation)
        return [CanaryLine(**row) for row in await self._fetch("ask_canaries", organisation, playbook)]

    async def pins(self, organisation: str, playbook: str) -> Pins:
        """The pins of a playbook; of all of them when none is named."""
        await self._fresh("assignments", organisation)
        rows = await self._fetch("ask_pins", organisation, playbook)
        return Pins(pins=tuple(PinLine(**row) for row in rows))

    async def version(self, organisation: str, playbook: str, version: int, at: datetime | None = None) -> Version:
        """One version whole, 0 the current one (`at` that time); raises `playbook.unknown` or `.version_unknown`."""
        found = await self._version_at(organisation, playbook, version, at)
        pins = (await self.pins(organisation, playbook)).pins
        here = tuple(pin for pin in pins if pin.version == found.line.version)
        canaries = await self.canaries(organisation, playbook)
        tried = next((canary for canary in canaries if canary.version == found.line.version), None)
        return msgspec.structs.replace(found, pins=here, canary=tried)

    async def _version_at(self, organisation: str, playbook: str, version: int, at: datetime | None) -> Version:
        await self._fresh("playbooks", organisation)
        if version == 0 and at is not None:
            rows = await self._fetch("ask_version_at", organisation, playbook, at)
            if rows:
                return _whole(organisation, playbook, rows[0])
            await self._version(organisation, playbook, 0)  # or the playbook is unknown
            raise Problem("playbook.version_unknown", f"{playbook} had no version yet at {at.isoformat()}")
        return await self._version(organisation, playbook, version)

    async def diff(self, organisation: str, playbook: str, before: int, after: int, days: int) -> Diff:
        """What changes from one version to another, and whom that concerns; raises as `version`."""
        await self._fresh("playbooks", organisation)
        old = await self._version(organisation, playbook, before)
        new = await self._version(organisation, playbook, after)
        known = await self._definitions(organisation, changed_digests(old.content, new.content))
        changes = changes_between(old.content, new.content, {row["digest"]: row["raw"].encode() for row in known})
        tools = dict.fromkeys(tool for change in changes if (tool := named_tool(change)) is not None)
        called = await self.callers(organisation, playbook, tuple(tools), days)
        return Diff(
            playbook=playbook,
            before=old.line.version,
            after=new.line.version,
            changes=with_callers(changes, called.tools),
        )

    async def callers(self, organisation: str, playbook: str, tools: tuple[str, ...], days: int) -> Callers:
        """Who called these tools in the last `days` (at most 366)."""
        found: dict[str, list[Caller]] = {}
        if tools and days > 0:
            for row in await self._fetch("ask_callers", organisation, playbook, list(tools), min(days, 366)):
                found.setdefault(row["tool"], []).append(Caller(client=row["client"], calls=row["calls"]))
        return Callers(tools={tool: tuple(callers) for tool, callers in found.items()})

    async def export(self, organisation: str, playbook: str) -> Exported:
        """The playbook with its whole history; raises `playbook.unknown`."""
        await self._fresh("playbooks", organisation)
        rows = await self._fetch("ask_whole_history", organisation, playbook)
        if not rows:
            raise _unknown_playbook(organisation, playbook)
        versions = tuple(_exported_version(row) for row in rows)
        used = versions[-1].content.definition.servers
        servers = {line.server: line.definition for line in (await self.servers(organisation)).servers}
        wanted = set().union(*(digests_of(version.content) for version in versions))
        known = await self._definitions(organisation, wanted)
        exported = ExportedPlaybook(
            format=EXPORT_FORMAT,
            organisation=organisation,
            playbook=playbook,
            servers={name: servers[name] for name in used if name in servers},
            versions=versions,
            definitions={row["digest"]: row["raw"] for row in known},
        )
        return Exported(exported=exported)

    async def definition(self, organisation: str, digest: str) -> Definition:
        """The definition behind a digest; raises `definition.unknown`."""
        rows = await self._definitions(organisation, {digest})
        if not rows:
            raise Problem("definition.unknown", f"no server ever gave a definition with the digest {digest}")
        row = rows[0]
        return Definition(
            digest=row["digest"],
            kind=row["kind"],
            server=row["server"],
            name=row["name"],
            first_seen=row["first_seen"],
            definition=msgspec.Raw(row["raw"].encode()),
        )

    async def _definitions(self, organisation: str, digests: set[str]) -> list[asyncpg.Record]:
        if not digests:
            return []
        await self._fresh("definitions", organisation)
        return await self._fetch("ask_definitions", organisation, sorted(digests))

    async def servers(self, organisation: str) -> Servers:
        """The registered servers by name."""
        await self._fresh("servers", organisation)
        rows = await self._fetch("ask_servers", organisation)
        return Servers(servers=tuple(_server_line(row) for row in rows))

    async def events(self, question: AskEvents) -> Events:
        """Some of the log, oldest first: at most `limit` (1000) events and about 2 MiB, at least one.

        Raises `argument.invalid` for a kind that is none, and `events.too_many`.
        """
        await self._known(question.organisation)
        wanted = max(1, min(question.limit, MOST_EVENTS))
        position = max(0, min(question.after, _INT8))
        which = "ask_newest_events" if question.newest else "ask_events"
        values = (question.organisation, position, wanted + 1)
        if question.kinds:
            rows = await self._search(which, *values, kinds_of(question.kinds))
        else:
            # Of any type, also one that this instance does not know yet: nothing is left out unsaid.
            rows = await self._fetch(which, *values, None)
        found = [published_of(recorded_of(row)) for row in (reversed(rows) if question.newest else rows)]
        events: list[PublishedEvent] = []
        size = 0
        for event in found[:wanted]:
            size += len(_encode(event))
            if events and size > MOST_BYTES:
                break
            events.append(event)
        shown = reversed(events) if question.newest else events
        return Events(events=tuple(shown), more=len(events) < len(rows))

    async def event(self, organisation: str, seq: int, event_id: str) -> LoggedEvent:
        """One event with what the log keeps beside it; raises `event.unknown`."""
        await self._known(organisation)
        wanted = uuid.UUID(event_id) if is_uuid(event_id) else None
        rows = await self._fetch("ask_event", organisation, seq if 0 < seq <= _INT8 else None, wanted)
        if not rows:
            named = f"number {seq}" if seq else f"id {event_id!r}"
            raise Problem("event.unknown", f"{organisation} has no event with the {named}")
        recorded = recorded_of(rows[0])
        return LoggedEvent(
            event=published_of(recorded),
            event_type=recorded.type,
            schema_version=recorded.schema_version,
            command_id=recorded.command_id,
            correlation=recorded.meta.correlation,
            causation=recorded.meta.causation,
            producer=recorded.meta.producer,
            prev_hash=rows[0]["prev_hash"],
            hash=rows[0]["hash"],
        )

    async def _version(self, organisation: str, playbook: str, version: int) -> Version:
        if 0 <= version <= _INT8:
            rows = await self._fetch("ask_version", organisation, playbook, version)
            if rows:
                return _whole(organisation, playbook, rows[0])
        if not await self._fetch("ask_history", organisation, playbook):
            raise _unknown_playbook(organisation, playbook)
        raise Problem("playbook.version_unknown", f"{playbook} has no version {version}", version=version)

    async def _fresh(self, projection: str, organisation: str) -> None:
        head = await persist(lambda: self._folders[projection].catch_up(organisation))
        if head is None:
            raise _unknown_organisation(organisation)

    async def _known(self, organisation: str) -> None:
        if not await self._fetch("head", organisation):
            raise _unknown_organisation(organisation)

    async def _fetch(self, name: str, *values: object) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await persist(lambda: self._pool.fetch(sql(_HERE, name), *values))
        return rows

    async def _search(self, name: str, *values: object) -> list[asyncpg.Record]:
        try:
            return await persist(lambda: self._fetch_in_time(name, *values))
        except asyncpg.QueryCanceledError:
            raise Problem("events.too_many", "the search took too long") from None

    async def _fetch_in_time(self, name: str, *values: object) -> list[asyncpg.Record]:
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            await connection.execute(sql(_HERE, "search_plan"), self._patience)
            rows: list[asyncpg.Record] = await connection.fetch(sql(_HERE, name), *values)
        return rows


def kinds_of(globs: Sequence[str]) -> list[str]:
    """The types of events that these globs select; `argument.invalid` when one selects none."""
    selected = set[str]()
    for glob in globs:
        found = {kind for kind in KINDS if fnmatchcase(kind, glob)}
        if not found:
            words = (
                f"kind: no event is called {glob[:80]!r}; a type is like 'playbook.published', a glob like 'person.*'"
            )
            raise Problem("argument.invalid", words, argument="kind")
        selected |= found
    return sorted(selected)


def _unknown_organisation(organisation: str) -> Problem:
    return Problem("organisation.unknown", f"there is no organisation {organisation!r}", organisation=organisation)


def _unknown_playbook(organisation: str, playbook: str) -> Problem:
    return Problem("playbook.unknown", f"{organisation} has no playbook {playbook!r}", playbook=playbook)


def _playbook_line(row: asyncpg.Record, canary: CanaryLine | None) -> PlaybookLine:
    return PlaybookLine(**{**row, "servers": tuple(row["servers"]), "canary": canary})


def _whole(organisation: str, playbook: str, row: asyncpg.Record) -> Version:
    content = _content(row["content"])
    return Version(organisation=organisation, playbook=playbook, line=_version_line(row), content=content)


def _exported_version(row: asyncpg.Record) -> ExportedVersion:
    return ExportedVersion(
        version=row["version"],
        reason=row["reason"],
        actor=row["actor"],
        comment=row["comment"],
        made_at=row["recorded_at"],
        content=_content(row["content"]),
        content_digest=row["content_digest"],
        rolled_back_to=row["rolled_back_to"],
    )


def _version_line(row: asyncpg.Record) -> VersionLine:
    return VersionLine(
        version=row["version"],
        reason=row["reason"],
        actor=row["actor"],
        comment=row["comment"],
        recorded_at=row["recorded_at"],
        content_digest=row["content_digest"],
        tools=row["tools"],
        rolled_back_to=row["rolled_back_to"],
    )


def _server_line(row: asyncpg.Record) -> ServerLine:
    texts = {"definition": _definition(row["definition"]), "quarantined": _names(row["quarantined"])}
    return ServerLine(**{**row, **texts})
