"""What concerns drafts, on the bus: one handler per command and question, each a single call."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.drafts import (
    AskDraft,
    AskDrafts,
    DiscardDraft,
    Draft,
    DraftPublishing,
    DraftRevised,
    Drafts,
    EditDraft,
    PublishDraft,
    RebaseDraft,
)
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus, register
from callboard.platform.event_store import EventStore
from callboard_router.decisions import Decisions
from callboard_router.drafts import edit
from callboard_router.drafts.publish import Publish
from callboard_router.drafts.show import ShowDrafts
from callboard_router.playbooks.inquiries import Inquiries


def register_drafts(bus: Bus, decisions: Decisions, inquiries: Inquiries, store: EventStore) -> None:
    """Subscribe all of it."""
    publish, shown = Publish(decisions, inquiries), ShowDrafts(decisions, store)

    async def edit_draft(command: EditDraft) -> DraftRevised:
        return await edit.edit(command, decisions)

    async def rebase_draft(command: RebaseDraft) -> DraftRevised:
        return await edit.rebase(command, decisions)

    async def discard_draft(command: DiscardDraft) -> Done:
        return await edit.discard(command, decisions)

    async def publish_draft(command: PublishDraft) -> DraftPublishing:
        return await publish.publish(command)

    async def draft(question: AskDraft) -> Draft:
        return await shown.draft(question)

    async def drafts(question: AskDrafts) -> Drafts:
        return await shown.drafts(question)

    register(bus, subjects.EDIT_DRAFT, edit_draft)
    register(bus, subjects.REBASE_DRAFT, rebase_draft)
    register(bus, subjects.DISCARD_DRAFT, discard_draft)
    register(bus, subjects.PUBLISH_DRAFT, publish_draft)
    register(bus, subjects.DRAFT, draft)
    register(bus, subjects.DRAFTS, drafts)
