"""`cb.cmd.playbook.publish`: the draft of a playbook becomes its next version, over the layers of now."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from callboard.contracts.definitions import PlaybookDefinition
from callboard.contracts.drafts import DraftPublishing, PublishDraft
from callboard.contracts.events import DraftPublished, Event, PlaybookDriftApproved, PlaybookPublished, Recorded
from callboard.contracts.playbooks import ApplyOrganisation, PlannedChange
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of_struct
from callboard_router.catalogue.served import catalogues_of
from callboard_router.decisions import Decisions, Writes
from callboard_router.drafts.domain import publishable
from callboard_router.layers.under import outdated
from callboard_router.playbooks.domain import Playbook, refuse_stale
from callboard_router.playbooks.inquiries import Inquiries
from callboard_router.playbooks.look_back import probe_notes
from callboard_router.playbooks.plan import definitions_of, plan_playbook, refuse_faults
from callboard_router.state import Organisation


class Publish:
    """Look first where a dry run is wanted, else decide and append."""

    def __init__(self, decisions: Decisions, inquiries: Inquiries) -> None:
        self._decisions = decisions
        self._inquiries = inquiries

    async def publish(self, command: PublishDraft) -> DraftPublishing:
        """Answer with the version that has the content of the draft; one that has it already stays."""
        await self._decisions.current_system()
        organisation = await self._decisions.current(command.organisation)
        if command.dry_run:
            return await self._looked(command, organisation)
        before = await self._decisions.seen(command.organisation, command.command_id, command)
        if before is not None:
            return _as_before(command, before, organisation.playbook(command.playbook))
        return await self._commit(command, organisation)

    async def _commit(self, command: PublishDraft, looked_at: Organisation) -> DraftPublishing:
        """Refused when another version or edit comes in between, also where the caller expects none."""
        version = looked_at.playbook(command.playbook).current
        revision = looked_at.draft(command.playbook).open
        wanted = msgspec.structs.replace(
            command,
            expected_version=version if command.expected_version is None else command.expected_version,
            expected_revision=revision if command.expected_revision is None else command.expected_revision,
        )
        answer: DraftPublishing | None = None

        def decide(organisation: Organisation) -> Writes:
            nonlocal answer
            answer, writes = decided(wanted, organisation)
            return writes

        seq = await self._decisions.commit(
            command.organisation, command.command_id, command, command.actor, command.comment, decide
        )
        assert answer is not None  # or the decision had refused it
        return msgspec.structs.replace(answer, seq=seq)

    async def _looked(self, command: PublishDraft, organisation: Organisation) -> DraftPublishing:
        """What it would do, by the same decision; nothing is written."""
        answer, _ = decided(command, organisation)
        used = {name: organisation.server(name).definition for name in _wanted(command, organisation).servers}
        probes = await self._inquiries.probe(
            command.organisation, {name: server for name, server in used.items() if server is not None}
        )
        changes, notes = await self._inquiries.concerning(command.organisation, command.playbook, answer.changes)
        playbook = organisation.playbook(command.playbook)
        reached = await self._inquiries.affected(command.organisation, command.playbook, playbook)
        return msgspec.structs.replace(
            answer,
            changes=changes,
            notes=(*probe_notes(probes, organisation), *answer.notes, *notes, *reached.notes),
            clients=reached.clients if answer.changed else (),
        )


def _wanted(command: PublishDraft, organisation: Organisation) -> PlaybookDefinition:
    """The draft; without one the current definition, where its layers have changed."""
    draft, playbook = organisation.draft(command.playbook), organisation.playbook(command.playbook)
    content = playbook.content()
    if not draft.open and content is not None and playbook.served and not command.expected_revision:
        if not outdated(content, organisation):
            text = f"playbook {command.playbook!r} has no draft, and its layers are as they were"
            raise Problem("draft.unknown", text, playbook=command.playbook)
        return content.definition
    return publishable(command.playbook, draft, playbook, command.expected_revision)


def decided(command: PublishDraft, organisation: Organisation) -> tuple[DraftPublishing, Writes]:
    """The answer and the events per stream; raises `Problem` for what cannot be published."""
    name, playbook = command.playbook, organisation.playbook(command.playbook)
    refuse_stale(name, command.expected_version, playbook)
    wanted = _wanted(command, organisation)
    line, events = planned(command, wanted, organisation)
    revision = organisation.draft(name).open
    version = playbook.current + 1 if events else playbook.current
    answer = DraftPublishing(
        playbook=name,
        version=version,
        revision=revision,
        content_digest=_digest(events, playbook),
        changed=bool(events),
        seq=0,
        changes=line.changes,
        notes=line.notes,
    )
    closed = (DraftPublished(playbook=name, revision=revision, version=version),) if revision else ()
    return answer, {f"playbook-{name}": events, f"draft-{name}": closed}


def planned(
    command: PublishDraft, wanted: PlaybookDefinition, organisation: Organisation
) -> tuple[PlannedChange, tuple[Event, ...]]:
    """What publishing this definition does: the same as applying a file with it alone, but for the rest of the file."""
    as_file = ApplyOrganisation(
        command_id=command.command_id,
        organisation=command.organisation,
        servers={},
        playbooks={command.playbook: wanted},
        comment=command.comment,
        actor=command.actor,
        dry_run=command.dry_run,
        accept_drift=command.accept_drift,
    )
    refuse_faults(as_file, organisation)
    catalogues = catalogues_of(organisation)
    definitions = organisation.definitions | definitions_of(catalogues.values())
    return plan_playbook(as_file, command.playbook, wanted, organisation, catalogues, definitions, republish=True)


def _digest(events: Sequence[Event], playbook: Playbook) -> str:
    for event in events:
        if isinstance(event, PlaybookPublished | PlaybookDriftApproved):
            return event.content_digest
    content = playbook.content()
    return digest_of_struct(content) if content is not None else ""


def _as_before(command: PublishDraft, events: list[Recorded], playbook: Playbook) -> DraftPublishing:
    """The answer that this command got before."""
    told = [recorded.event for recorded in events]
    published = [event for event in told if isinstance(event, PlaybookPublished | PlaybookDriftApproved)]
    closed = next((event for event in told if isinstance(event, DraftPublished)), None)
    version = published[-1].version if published else closed.version if closed is not None else 0
    content = playbook.content(version)
    return DraftPublishing(
        playbook=command.playbook,
        version=version,
        revision=closed.revision if closed is not None else 0,
        content_digest=digest_of_struct(content) if content is not None else "",
        changed=bool(published),
        seq=events[-1].seq,
    )
