"""`cb.ask.projections.*`: one handler per question, each a single call."""

from __future__ import annotations

import asyncpg

from callboard.contracts import subjects
from callboard.contracts.assignments import AskPins, Pins
from callboard.contracts.audit import AskLogRows, AuditVerdict, LogRows, VerifyAudit
from callboard.contracts.connected import AskRecentClients, RecentClients
from callboard.contracts.records import (
    AskCallers,
    AskCalls,
    AskDefinition,
    AskDiff,
    AskEvent,
    AskEvents,
    AskExport,
    AskHistory,
    AskOrganisations,
    AskPlaybooks,
    AskRebuild,
    AskServers,
    AskVersion,
    Callers,
    Calls,
    Definition,
    Diff,
    Events,
    Exported,
    History,
    LoggedEvent,
    Organisations,
    Playbooks,
    Rebuilt,
    Servers,
    Version,
)
from callboard.platform.bus import Bus, register
from callboard_projections.audit.rows import log_rows
from callboard_projections.audit.verify import verify
from callboard_projections.call_log.read import CallReads
from callboard_projections.history.read import Reads
from callboard_projections.rebuild.rebuild import Rebuilds


def register_history(bus: Bus, reads: Reads) -> None:
    """Subscribe the questions about playbooks, servers and organisations."""

    async def organisations(question: AskOrganisations) -> Organisations:
        return await reads.organisations()

    async def playbooks(question: AskPlaybooks) -> Playbooks:
        return await reads.playbooks(question.organisation)

    async def history(question: AskHistory) -> History:
        return await reads.history(question.organisation, question.playbook)

    async def version(question: AskVersion) -> Version:
        return await reads.version(question.organisation, question.playbook, question.version, question.at)

    async def diff(question: AskDiff) -> Diff:
        return await reads.diff(
            question.organisation, question.playbook, question.before, question.after, question.days
        )

    async def callers(question: AskCallers) -> Callers:
        return await reads.callers(question.organisation, question.playbook, question.tools, question.days)

    async def pins(question: AskPins) -> Pins:
        return await reads.pins(question.organisation, question.playbook)

    async def export(question: AskExport) -> Exported:
        return await reads.export(question.organisation, question.playbook)

    async def definition(question: AskDefinition) -> Definition:
        return await reads.definition(question.organisation, question.digest)

    async def servers(question: AskServers) -> Servers:
        return await reads.servers(question.organisation)

    register(bus, subjects.ORGANISATIONS, organisations)
    register(bus, subjects.PLAYBOOKS, playbooks)
    register(bus, subjects.HISTORY, history)
    register(bus, subjects.VERSION, version)
    register(bus, subjects.DIFF, diff)
    register(bus, subjects.CALLERS, callers)
    register(bus, subjects.PINS, pins)
    register(bus, subjects.EXPORT_PLAYBOOK, export)
    register(bus, subjects.DEFINITION, definition)
    register(bus, subjects.SERVERS, servers)


def register_log(bus: Bus, reads: Reads) -> None:
    """Subscribe the questions about the log itself."""

    async def events(question: AskEvents) -> Events:
        return await reads.events(question)

    async def event(question: AskEvent) -> LoggedEvent:
        return await reads.event(question.organisation, question.seq, question.event_id)

    register(bus, subjects.EVENTS_ASKED, events)
    register(bus, subjects.EVENT_ASKED, event)


def register_records(bus: Bus, pool: asyncpg.Pool, reads: CallReads, rebuilds: Rebuilds) -> None:
    """Subscribe the questions about calls, the chain and rebuilds."""

    async def calls(question: AskCalls) -> Calls:
        return await reads.calls(question)

    async def recent_clients(question: AskRecentClients) -> RecentClients:
        return await reads.recent_clients(question.organisation, question.playbook, question.minutes)

    async def verify_audit(question: VerifyAudit) -> AuditVerdict:
        return await verify(pool, question.organisation, question.witnesses)

    async def rows(question: AskLogRows) -> LogRows:
        return await log_rows(pool, question.organisation, question.after, question.limit)

    async def rebuild_state(question: AskRebuild) -> Rebuilt:
        return await rebuilds.state(question.projection)

    register(bus, subjects.CALLS_ASKED, calls)
    register(bus, subjects.RECENT_CLIENTS, recent_clients)
    register(bus, subjects.VERIFY_AUDIT, verify_audit, workers=2)
    register(bus, subjects.LOG_ROWS, rows)
    register(bus, subjects.REBUILD_STATE, rebuild_state)
