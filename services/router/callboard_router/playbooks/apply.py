"""`cb.cmd.organisation.apply`: make servers and playbooks look like a file, all or nothing."""

from __future__ import annotations

import msgspec

from callboard.contracts.events import (
    PlaybookDriftApproved,
    PlaybookPublished,
    PlaybookRetired,
    Recorded,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
)
from callboard.contracts.playbooks import Applied, ApplyOrganisation, PlannedChange
from callboard.contracts.problems import Problem
from callboard.contracts.upstreams import Probed
from callboard_router.decisions import Decisions, Writes
from callboard_router.playbooks.domain import refuse_stale
from callboard_router.playbooks.inquiries import Inquiries
from callboard_router.playbooks.plan import Plan, plan, refuse_faults, to_probe
from callboard_router.quotas.domain import check_quotas
from callboard_router.state import Organisation


class Apply:
    """Probe what is new, plan, commit in one transaction."""

    def __init__(self, decisions: Decisions, inquiries: Inquiries) -> None:
        self._decisions = decisions
        self._inquiries = inquiries

    async def apply(self, command: ApplyOrganisation) -> Applied:
        """Answer with the plan; with `dry_run` nothing is written."""
        await self._decisions.current_system()
        organisation = await self._decisions.current(command.organisation)
        if not command.dry_run:
            before = await self._decisions.seen(command.organisation, command.command_id, command)
            if before is not None:
                return _as_before(command, before)
        refuse_faults(command, organisation)
        probes = await self._inquiries.probe(command.organisation, to_probe(command, organisation))
        planned = plan(command, organisation, probes)
        if command.dry_run:
            check_quotas(organisation, planned.writes)
            lines = tuple([await self._told(command.organisation, line) for line in planned.lines])
            return Applied(organisation=command.organisation, plan=lines, changed=bool(planned.writes))
        if planned.needs_comment and not command.comment.strip():
            raise Problem("comment.required", "every change says why")
        looked_at = {name: organisation.playbook(name).current for name in command.playbooks}
        return await self._commit(command, probes, looked_at)

    async def _commit(
        self, command: ApplyOrganisation, probes: dict[str, Probed], looked_at: dict[str, int]
    ) -> Applied:
        """`looked_at`: the versions that were current at the beginning; what was published since is not undone."""
        latest = Plan((), {})

        def decide(organisation: Organisation) -> Writes:
            nonlocal latest
            latest = plan(command, organisation, probes)
            for name in latest.publishes:
                refuse_stale(name, looked_at[name], organisation.playbook(name))
            return latest.writes

        seq = await self._decisions.commit(
            command.organisation, command.command_id, command, command.actor, command.comment, decide
        )
        return Applied(organisation=command.organisation, plan=latest.lines, changed=seq > 0, seq=seq)

    async def _told(self, organisation: str, line: PlannedChange) -> PlannedChange:
        """The line with whom it concerns."""
        kind, _, name = line.subject.partition(" ")
        if kind != "playbook":
            return line
        changes, notes = await self._inquiries.concerning(organisation, name, line.changes)
        return msgspec.structs.replace(line, changes=changes, notes=(*line.notes, *notes))


def _as_before(command: ApplyOrganisation, events: list[Recorded]) -> Applied:
    lines: list[PlannedChange] = []
    for recorded in events:
        match recorded.event:
            case ServerRegistered(server=name):
                lines.append(PlannedChange(subject=f"server {name}", action="register"))
            case ServerReconfigured(server=name):
                lines.append(PlannedChange(subject=f"server {name}", action="reconfigure"))
            case (
                PlaybookPublished(playbook=name, version=version)
                | PlaybookDriftApproved(playbook=name, version=version)
            ):
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
