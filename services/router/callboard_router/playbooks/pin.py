"""`cb.cmd.playbook.pin` and `cb.cmd.playbook.unpin`: which version a client is served."""

from __future__ import annotations

from callboard.contracts.assignments import PinClient, UnpinClient
from callboard.contracts.playbooks import Done
from callboard_router.decisions import Decisions, Writes
from callboard_router.playbooks.domain import PLAYBOOK
from callboard_router.playbooks.roll_back import refuse_unregistered
from callboard_router.state import Organisation


async def pin(command: PinClient | UnpinClient, decisions: Decisions) -> Done:
    """Answer with the log position; a pin that is there already changes nothing."""
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return Done(seq=before[-1].seq if before else 0)

    def decide(organisation: Organisation) -> Writes:
        playbook = organisation.playbook(command.playbook)
        events = PLAYBOOK.decide(command, playbook)
        if isinstance(command, PinClient):
            refuse_unregistered(command.playbook, playbook.content(command.version), organisation)
        return {f"playbook-{command.playbook}": events}

    seq = await decisions.commit(
        command.organisation, command.command_id, command, command.actor, command.comment, decide
    )
    return Done(seq=seq)
