"""`cb.cmd.playbook.retire`: stop serving a playbook; its versions stay in the log."""

from __future__ import annotations

from callboard.contracts.playbooks import Done, RetirePlaybook
from callboard_router.decisions import Decisions, Writes
from callboard_router.playbooks.domain import PLAYBOOK
from callboard_router.state import Organisation


async def retire(command: RetirePlaybook, decisions: Decisions) -> Done:
    """Answer with the log position."""
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return Done(seq=before[-1].seq if before else 0)

    def decide(organisation: Organisation) -> Writes:
        playbook = organisation.playbook(command.playbook)
        return {f"playbook-{command.playbook}": PLAYBOOK.decide(command, playbook)}

    seq = await decisions.commit(
        command.organisation, command.command_id, command, command.actor, command.comment, decide
    )
    return Done(seq=seq)
