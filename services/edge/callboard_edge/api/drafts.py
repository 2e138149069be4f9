"""Drafts: edits apart from what is served, and their publishing."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import delete, get, post

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
from callboard.contracts.management import DraftEdits, DraftRebase, Publish
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

_ALL: Final = "/organisations/{organisation:str}/drafts"
_ONE: Final = "/organisations/{organisation:str}/playbooks/{name:str}/draft"
_PUBLISH: Final = "/organisations/{organisation:str}/playbooks/{name:str}/publish"
PUBLISH_SECONDS: Final = 60.0
"""A dry run connects to every server of the playbook."""


@get(_ALL, summary="List drafts")
async def list_drafts(bus: Bus, caller: Caller, organisation: str) -> Drafts:
    """Of the playbooks that the token reaches."""
    caller.require("read", organisation, "")
    found = await bus.ask(subjects.DRAFTS, AskDrafts(organisation=organisation), Drafts)
    return msgspec.structs.replace(found, drafts=tuple(line for line in found.drafts if caller.sees(line.playbook)))


@get(_ONE, summary="The draft of a playbook")
async def show_draft(bus: Bus, caller: Caller, organisation: str, name: str) -> Draft:
    """Whole, with what it changes, who edited it, and what was published since it began."""
    caller.require("read", organisation, name)
    return await bus.ask(subjects.DRAFT, AskDraft(organisation=organisation, playbook=name), Draft)


@post(_ONE, summary="Edit the draft of a playbook", status_code=200)
async def edit_draft(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: DraftEdits
) -> DraftRevised:
    """Nothing is served otherwise by this. Who expected an older revision is told what came in between."""
    caller.require("playbook:draft", organisation, name)
    command = EditDraft(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        edits=data.edits,
        expected=data.expected,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.EDIT_DRAFT, command, DraftRevised)


@post(_ONE + "/rebase", summary="Take what was published since into the draft", status_code=200)
async def rebase_draft(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: DraftRebase
) -> DraftRevised:
    """A merge of three; what both sides changed is refused, and told, unless one of them is preferred."""
    caller.require("playbook:draft", organisation, name)
    command = RebaseDraft(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        expected=data.expected,
        prefer=data.prefer,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.REBASE_DRAFT, command, DraftRevised)


@delete(_ONE, summary="Throw the draft of a playbook away", status_code=200)
async def discard_draft(
    bus: Bus,
    caller: Caller,
    stamp: Stamp,
    organisation: str,
    name: str,
    comment: str = "",
    expected: int | None = None,
) -> Done:
    """What is served stays as it is."""
    caller.require("playbook:draft", organisation, name)
    command = DiscardDraft(
        command_id=stamp.command_id(),
        organisation=organisation,
        playbook=name,
        expected=expected,
        comment=comment,
        actor=caller.actor,
    )
    return await bus.ask(subjects.DISCARD_DRAFT, command, Done)


@post(_PUBLISH, summary="Publish the draft of a playbook", status_code=200)
async def publish_draft(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: Publish
) -> DraftPublishing:
    """It becomes the next version, unless the current one has the same content. A dry run only says what would be.

    Whoever publishes decides which of the organisation's servers are reached, so a token that is limited to some
    playbooks can only draft.
    """
    caller.require("playbook:publish", organisation)
    command = PublishDraft(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        playbook=name,
        comment=data.comment,
        actor=caller.actor,
        expected_version=data.expected_version,
        expected_revision=data.expected_revision,
        accept_drift=data.accept_drift,
        dry_run=data.dry_run,
    )
    return await bus.ask(subjects.PUBLISH_DRAFT, command, DraftPublishing, within=PUBLISH_SECONDS)


ROUTES = [list_drafts, show_draft, edit_draft, rebase_draft, discard_draft, publish_draft]
