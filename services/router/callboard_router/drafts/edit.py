"""`cb.cmd.draft.edit`, `cb.cmd.draft.rebase` and `cb.cmd.draft.discard`: one event each, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from callboard.contracts.drafts import DiscardDraft, DraftRevised, EditDraft, RebaseDraft
from callboard.contracts.events import DraftDiscarded, DraftEdited
from callboard.contracts.playbooks import Done
from callboard.kernel.diff import written_changes
from callboard_router.decisions import Decisions
from callboard_router.drafts import domain
from callboard_router.state import Organisation

Command = EditDraft | RebaseDraft | DiscardDraft
Decided = Callable[[Organisation], Sequence[DraftEdited | DraftDiscarded]]


async def edit(command: EditDraft, decisions: Decisions) -> DraftRevised:
    """Answer with the revision that there is afterwards."""
    return await _revise(
        command,
        decisions,
        lambda state: domain.edit(command, state.draft(command.playbook), state.playbook(command.playbook)),
    )


async def rebase(command: RebaseDraft, decisions: Decisions) -> DraftRevised:
    """Answer with the revision that stands on the current version."""
    return await _revise(
        command,
        decisions,
        lambda state: domain.rebase(command, state.draft(command.playbook), state.playbook(command.playbook)),
    )


async def discard(command: DiscardDraft, decisions: Decisions) -> Done:
    """Answer with the log position."""
    return Done(seq=await _commit(command, decisions, lambda s: domain.discard(command, s.draft(command.playbook))))


async def _revise(command: EditDraft | RebaseDraft, decisions: Decisions, decided: Decided) -> DraftRevised:
    seq = await _commit(command, decisions, decided)
    organisation = await decisions.current(command.organisation)
    draft, playbook = organisation.draft(command.playbook), organisation.playbook(command.playbook)
    changes = () if draft.definition is None else written_changes(domain.base_of(draft, playbook), draft.definition)
    return DraftRevised(
        playbook=command.playbook, revision=draft.open, base=draft.base, changes=tuple(changes), seq=seq
    )


async def _commit(command: Command, decisions: Decisions, decided: Decided) -> int:
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return before[-1].seq if before else 0
    return await decisions.commit(
        command.organisation,
        command.command_id,
        command,
        command.actor,
        command.comment,
        lambda state: {f"draft-{command.playbook}": decided(state)},
    )
