"""`cb.cmd.playbook.roll_back`: publish an old version's content as the next version."""

from __future__ import annotations

from callboard.contracts.events import PlaybookRolledBack, Recorded
from callboard.contracts.playbooks import RollBackPlaybook, RolledBack
from callboard.kernel.digest import digest_of_struct
from callboard_router.decisions import Decisions, Writes
from callboard_router.playbooks.domain import PLAYBOOK
from callboard_router.state import Organisation


async def roll_back(command: RollBackPlaybook, decisions: Decisions) -> RolledBack:
    """Answer with the version that is current afterwards; rolling back to what is current changes nothing."""
    state = await decisions.current(command.organisation)
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return _as_before(command, before)

    def decide(organisation: Organisation) -> Writes:
        playbook = organisation.playbook(command.playbook)
        return {f"playbook-{command.playbook}": PLAYBOOK.decide(command, playbook)}

    seq = await decisions.commit(
        command.organisation, command.command_id, command, command.actor, command.comment, decide
    )
    state = await decisions.current(command.organisation)
    playbook = state.playbook(command.playbook)
    content = playbook.content()
    assert content is not None
    return RolledBack(
        playbook=command.playbook,
        version=playbook.current,
        to_version=command.to,
        content_digest=digest_of_struct(content),
        seq=seq,
    )


def _as_before(command: RollBackPlaybook, events: list[Recorded]) -> RolledBack:
    event = events[-1].event
    assert isinstance(event, PlaybookRolledBack)
    return RolledBack(
        playbook=command.playbook,
        version=event.version,
        to_version=event.to_version,
        content_digest=event.content_digest,
        seq=events[-1].seq,
    )
