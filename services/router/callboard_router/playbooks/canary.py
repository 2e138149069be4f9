"""`cb.cmd.playbook.start_canary`, `.promote_canary` and `.end_canary`: a version tried on a share of the callers."""

from __future__ import annotations

from datetime import datetime

from callboard.contracts.assignments import EndCanary, PromoteCanary, StartCanary
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard_router.decisions import Decisions, Writes
from callboard_router.playbooks.domain import PLAYBOOK
from callboard_router.playbooks.roll_back import refuse_unregistered
from callboard_router.state import Organisation


async def start(command: StartCanary, decisions: Decisions, now: datetime) -> Done:
    """Answer with the log position; a time that is over by `now` is refused."""
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return Done(seq=before[-1].seq if before else 0)
    if command.until.tzinfo is None or command.until <= now:
        raise Problem("argument.invalid", "`until` is a time to come, with its time zone", argument="until")
    return await _commit(command, decisions)


async def end(command: PromoteCanary | EndCanary, decisions: Decisions) -> Done:
    """Answer with the log position; of two who decide at the same time the second gets `canary.unknown`."""
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return Done(seq=before[-1].seq if before else 0)
    return await _commit(command, decisions)


async def _commit(command: StartCanary | PromoteCanary | EndCanary, decisions: Decisions) -> Done:
    def decide(organisation: Organisation) -> Writes:
        playbook = organisation.playbook(command.playbook)
        events = PLAYBOOK.decide(command, playbook)
        tried = playbook.canary.version if playbook.canary is not None else 0
        version = command.version if isinstance(command, StartCanary) else tried
        if not isinstance(command, EndCanary):
            refuse_unregistered(command.playbook, playbook.content(version), organisation)
        return {f"playbook-{command.playbook}": events}

    seq = await decisions.commit(
        command.organisation, command.command_id, command, command.actor, command.comment, decide
    )
    return Done(seq=seq)
