"""`cb.cmd.draft.edit`, `cb.cmd.draft.rebase` and `cb.cmd.draft.discard`: one event each, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from callboard.contracts.drafts import DiscardDraft, DraftRevised, EditDraft, RebaseDraft
from callboard.contracts.events import DraftDiscarded, DraftEdited
from callboard.contracts.playbooks import Done
from callboard.kernel.diff import written_changes
from callboard_router.decisions import Decisions, Writes
from callboard_router.drafts import domain
from callboard_router.drafts.domain import DraftState
from callboard_router.state import Organisation

Command = EditDraft | RebaseDraft | DiscardDraft
Decided = Callable[[Organisation], Sequence[DraftEdited | DraftDiscarded]]


async def edit(command: EditDraft, decisions: Decisions) -> DraftRevised:
    """Answer with the revision that this made, or the one that there was."""
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
    seq, _ = await _commit(command, decisions, lambda s: domain.discard(command, s.draft(command.playbook)))
    return Done(seq=seq)


async def _revise(command: EditDraft | RebaseDraft, decisions: Decisions, decided: Decided) -> DraftRevised:
    seq, events = await _commit(command, decisions, decided)
    organisation = await decisions.current(command.organisation)
    playbook, draft = organisation.playbook(command.playbook), organisation.draft(command.playbook)
    for event in events:
        if isinstance(event, DraftEdited):
            draft = DraftState(revision=event.revision, base=event.base, definition=event.definition)
    changes = () if draft.definition is None else written_changes(domain.base_of(draft, playbook), draft.definition)
    return DraftRevised(
        playbook=command.playbook, revision=draft.open, base=draft.base, changes=tuple(changes), seq=seq
    )


async def _commit(command: Command, decisions: Decisions, decided: Decided) -> tuple[int, Sequence[object]]:
    """The log position and the events, also of a command that took effect before."""
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return before[-1].seq if before else 0, [recorded.event for recorded in before]
    events: Sequence[DraftEdited | DraftDiscarded] = ()

    def decide(state: Organisation) -> Writes:
        nonlocal events
        events = decided(state)
        return {f"draft-{command.playbook}": events}

    seq = await decisions.commit(
        command.organisation, command.command_id, command, command.actor, command.comment, decide
    )
    return seq, events
