"""`cb.cmd.organisation.apply`: make servers and playbooks look like a file, all or nothing."""

from __future__ import annotations

import asyncio

import msgspec

from callboard.contracts import subjects
from callboard.contracts.definitions import ServerDefinition
from callboard.contracts.events import (
    PlaybookPublished,
    PlaybookRetired,
    Recorded,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
)
from callboard.contracts.playbooks import Applied, ApplyOrganisation, PlannedChange
from callboard.contracts.problems import Problem
from callboard.contracts.records import AskCallers, Callers
from callboard.contracts.upstreams import Probed, ProbeServer
from callboard.kernel.diff import named_tool, with_callers
from callboard.platform.bus import Bus
from callboard_router.decisions import Decisions, Writes
from callboard_router.playbooks.plan import Plan, plan, refuse_faults, to_probe
from callboard_router.state import Organisation


class Apply:
    """Probe what is new, plan, commit in one transaction."""

    def __init__(self, bus: Bus, decisions: Decisions, probe_wait: float) -> None:
        self._bus = bus
        self._decisions = decisions
        self._probe_wait = probe_wait

    async def apply(self, command: ApplyOrganisation) -> Applied:
        """Answer with the plan; with `dry_run` nothing is written."""
        organisation = await self._decisions.current(command.organisation)
        if not command.dry_run:
            before = await self._decisions.seen(command.organisation, command.command_id, command)
            if before is not None:
                return _as_before(command, before)
        refuse_faults(command, organisation)
        probes = await self._probe(command.organisation, to_probe(command, organisation))
        planned = plan(command, organisation, probes)
        if command.dry_run:
            lines = tuple([await self._concerning(command.organisation, line) for line in planned.lines])
            return Applied(organisation=command.organisation, plan=lines, changed=bool(planned.writes))
        if planned.writes and not command.comment.strip():
            raise Problem("comment.required", "every change says why")
        return await self._commit(command, probes)

    async def _commit(self, command: ApplyOrganisation, probes: dict[str, Probed]) -> Applied:
        latest = Plan((), {})

        def decide(organisation: Organisation) -> Writes:
            nonlocal latest
            latest = plan(command, organisation, probes)
            return latest.writes

        seq = await self._decisions.commit(
            command.organisation, command.command_id, command, command.actor, command.comment, decide
        )
        return Applied(organisation=command.organisation, plan=latest.lines, changed=seq > 0, seq=seq)

    async def _concerning(self, organisation: str, line: PlannedChange) -> PlannedChange:
        """The line with who called lately what it changes; without that when nobody can be asked."""
        kind, _, name = line.subject.partition(" ")
        tools = dict.fromkeys(tool for change in line.changes if (tool := named_tool(change)) is not None)
        if kind != "playbook" or not tools:
            return line
        question = AskCallers(organisation=organisation, playbook=name, tools=tuple(tools))
        try:
            found = await self._bus.ask(subjects.CALLERS, question, Callers)
        except Problem:
            note = "who called these tools lately is not known: the call log does not answer"
            return msgspec.structs.replace(line, notes=(*line.notes, note))
        return msgspec.structs.replace(line, changes=with_callers(line.changes, found.tools))

    async def _probe(self, organisation: str, servers: dict[str, ServerDefinition]) -> dict[str, Probed]:
        found = await asyncio.gather(
            *(self._probe_one(organisation, name, definition) for name, definition in servers.items())
        )
        return {probed.server: probed for probed in found}

    async def _probe_one(self, organisation: str, name: str, definition: ServerDefinition) -> Probed:
        question = ProbeServer(organisation=organisation, server=name, definition=definition)
        try:
            return await self._bus.ask(subjects.PROBE, question, Probed, self._probe_wait)
        except Problem as problem:
            return Probed(server=name, problem=problem.message)


def _as_before(command: ApplyOrganisation, events: list[Recorded]) -> Applied:
    lines: list[PlannedChange] = []
    for recorded in events:
        match recorded.event:
            case ServerRegistered(server=name):
                lines.append(PlannedChange(subject=f"server {name}", action="register"))
            case ServerReconfigured(server=name):
                lines.append(PlannedChange(subject=f"server {name}", action="reconfigure"))
            case PlaybookPublished(playbook=name, version=version):
                lines.append(PlannedChange(subject=f"playbook {name}", action="publish", version=version))
            case PlaybookRetired(playbook=name):
                lines.append(PlannedChange(subject=f"playbook {name}", action="retire"))
            case ServerRetired(server=name):
                lines.append(PlannedChange(subject=f"server {name}", action="retire"))
            case _:
                pass
    return Applied(
        organisation=command.organisation, plan=tuple(lines), changed=bool(events), seq=events[-1].seq if events else 0
    )
