"""`cb.ask.router.draft` and `cb.ask.router.drafts`: what is being edited, by whom, and what would become of it."""

from __future__ import annotations

from callboard.contracts.drafts import AskDraft, AskDrafts, Draft, DraftEdit, DraftLine, Drafts
from callboard.contracts.events import DraftEdited
from callboard.contracts.problems import Problem
from callboard.kernel.definition_rules import all_faults
from callboard.kernel.diff import written_changes
from callboard.platform.event_store import EventStore
from callboard_router.decisions import Decisions
from callboard_router.drafts.domain import base_of, is_outdated, written

_MOST_EDITS = 50


class ShowDrafts:
    """Answers from memory; who edited is read from the log, where it can be erased."""

    def __init__(self, decisions: Decisions, store: EventStore) -> None:
        self._decisions = decisions
        self._store = store

    async def draft(self, question: AskDraft) -> Draft:
        """One draft whole; `draft.unknown` when there is none."""
        organisation = await self._decisions.current(question.organisation)
        draft, playbook = organisation.draft(question.playbook), organisation.playbook(question.playbook)
        if draft.definition is None:
            raise Problem("draft.unknown", f"playbook {question.playbook!r} has no draft", playbook=question.playbook)
        base = base_of(draft, playbook)
        since = written_changes(base, written(playbook)) if is_outdated(draft, playbook) else ()
        faults = all_faults({}, {question.playbook: draft.definition}, organisation.registered())
        return Draft(
            organisation=question.organisation,
            playbook=question.playbook,
            revision=draft.revision,
            base=draft.base,
            current=playbook.current,
            definition=draft.definition,
            changes=tuple(written_changes(base, draft.definition)),
            published_since=tuple(since),
            faults=tuple(fault.message for fault in faults),
            edits=await self._edits(question),
        )

    async def _edits(self, question: AskDraft) -> tuple[DraftEdit, ...]:
        """Of this draft, newest first."""
        edits: list[DraftEdit] = []
        for recorded in await self._store.read_stream(question.organisation, f"draft-{question.playbook}"):
            if isinstance(recorded.event, DraftEdited):
                meta = recorded.meta
                edits.append(
                    DraftEdit(
                        revision=recorded.event.revision,
                        actor=meta.actor,
                        comment=meta.comment,
                        at=recorded.recorded_at,
                    )
                )
            else:
                edits.clear()
        return tuple(reversed(edits[-_MOST_EDITS:]))

    async def drafts(self, question: AskDrafts) -> Drafts:
        """All drafts of an organisation."""
        organisation = await self._decisions.current(question.organisation)
        lines = [
            DraftLine(
                playbook=name,
                revision=draft.revision,
                base=draft.base,
                current=organisation.playbook(name).current,
                outdated=is_outdated(draft, organisation.playbook(name)),
            )
            for name, draft in sorted(organisation.drafts.items())
            if draft.open
        ]
        return Drafts(organisation=question.organisation, drafts=tuple(lines))
