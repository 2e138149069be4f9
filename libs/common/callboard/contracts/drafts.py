"""Drafts: edits of a playbook that are collected apart from what is served, until somebody publishes them.

A playbook has one draft or none. Its revision counts edits over the whole life of the playbook, so that a revision
that somebody has seen never names another draft. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from callboard.contracts.connected import AffectedClient
from callboard.contracts.definitions import PlaybookDefinition
from callboard.contracts.playbooks import Change

Prefer = Literal["", "draft", "version"]


class DraftStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One edit: `value` is put at `path`, or what is there is removed.

    Steps of a path are keys, as in ("servers", "git", "tools", "deny"); the empty path is the whole definition.
    """

    path: tuple[str, ...]
    value: Any = None
    remove: bool = False


class EditDraft(msgspec.Struct, frozen=True, kw_only=True, tag="draft.edit", tag_field="type"):
    """Put edits into the draft of a playbook; without one they begin at the current version.

    `expected` is the revision that was edited (0: there was no draft); None puts the edits over whatever is there,
    which a whole definition may not do to a draft that exists.
    """

    command_id: str
    organisation: str
    playbook: str
    edits: tuple[DraftStep, ...]
    expected: int | None = None
    comment: str = ""
    actor: str = ""


class RebaseDraft(msgspec.Struct, frozen=True, kw_only=True, tag="draft.rebase", tag_field="type"):
    """Take what was published since the draft began into it: a merge of three.

    What both sides changed differently is refused with `draft.conflict`, unless `prefer` names the side that wins.
    """

    command_id: str
    organisation: str
    playbook: str
    expected: int | None = None
    prefer: Prefer = ""
    comment: str = ""
    actor: str = ""


class DiscardDraft(msgspec.Struct, frozen=True, kw_only=True, tag="draft.discard", tag_field="type"):
    """Throw the draft away; what is served stays as it is."""

    command_id: str
    organisation: str
    playbook: str
    expected: int | None = None
    comment: str = ""
    actor: str = ""


class DraftRevised(msgspec.Struct, frozen=True, kw_only=True, tag="draft.revised", tag_field="type"):
    """Answer to `EditDraft` and `RebaseDraft`: the revision now (0: there is no draft), and what it changes.

    `seq` 0: nothing had to be done.
    """

    playbook: str
    revision: int
    base: int
    changes: tuple[Change, ...]
    seq: int


class PublishDraft(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.publish", tag_field="type"):
    """Make the draft the next version, over the layers that there are now; without a draft the current definition,
    where its layers have changed. `dry_run` only says what that would change, and whom.

    `expected_version` and `expected_revision` are what the caller looked at. `accept_drift`: also pin what was held.
    """

    command_id: str
    organisation: str
    playbook: str
    comment: str = ""
    actor: str = ""
    expected_version: int | None = None
    expected_revision: int | None = None
    accept_drift: bool = False
    dry_run: bool = False


class DraftPublishing(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.publish_done", tag_field="type"):
    """Answer to `PublishDraft`: the version that has the content of the draft, or in a dry run would have it.

    `clients`: in a dry run, those that are connected now or called in the last minutes, and would be served it.
    `changed` false: that is the version which was current already. `revision` 0: there was no draft.
    """

    playbook: str
    version: int
    revision: int
    content_digest: str
    changed: bool
    seq: int
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    clients: tuple[AffectedClient, ...] = ()


class AskDraft(msgspec.Struct, frozen=True, kw_only=True, tag="draft?", tag_field="type"):
    """The draft of a playbook; `draft.unknown` when there is none."""

    organisation: str
    playbook: str


class DraftEdit(msgspec.Struct, frozen=True, kw_only=True):
    """Who made a revision, when and why."""

    revision: int
    actor: str
    comment: str
    at: datetime


class Draft(msgspec.Struct, frozen=True, kw_only=True, tag="draft", tag_field="type"):
    """Answer to `AskDraft`: the draft, newest edit first.

    `changes`: from version `base` to the draft. `published_since`: from there to the current version, which has to be
    taken in by a rebase. `faults`: why it cannot be published as it is.
    """

    organisation: str
    playbook: str
    revision: int
    base: int
    current: int
    definition: PlaybookDefinition
    changes: tuple[Change, ...]
    published_since: tuple[Change, ...]
    faults: tuple[str, ...]
    edits: tuple[DraftEdit, ...]


class AskDrafts(msgspec.Struct, frozen=True, kw_only=True, tag="drafts?", tag_field="type"):
    """The drafts of an organisation."""

    organisation: str


class DraftLine(msgspec.Struct, frozen=True, kw_only=True):
    """A draft in a list; `outdated`: something else was published since it began."""

    playbook: str
    revision: int
    base: int
    current: int
    outdated: bool


class Drafts(msgspec.Struct, frozen=True, kw_only=True, tag="drafts", tag_field="type"):
    """Answer to `AskDrafts`, by playbook."""

    organisation: str
    drafts: tuple[DraftLine, ...]
