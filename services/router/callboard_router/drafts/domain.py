"""The draft of a playbook: which edits it takes, and when it is not what somebody looked at. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec

from callboard.contracts.definitions import PlaybookDefinition
from callboard.contracts.drafts import DiscardDraft, DraftStep, EditDraft, RebaseDraft
from callboard.contracts.events import DraftDiscarded, DraftEdited, DraftPublished
from callboard.contracts.problems import Problem
from callboard.kernel.diff import written_changes
from callboard.kernel.merge import MISSING, Conflict, merged, replaced
from callboard.kernel.names import is_slug
from callboard_router.playbooks.domain import Playbook

Event = DraftEdited | DraftDiscarded | DraftPublished
_KEPT: Final = 20
"""So many revisions are remembered, to tell who edited an older one what came in between."""


class DraftState(msgspec.Struct, frozen=True, kw_only=True):
    """State: `definition` is None while there is no draft; `earlier` are its last revisions before this one."""

    revision: int = 0
    base: int = 0
    definition: PlaybookDefinition | None = None
    earlier: tuple[tuple[int, PlaybookDefinition], ...] = ()

    @property
    def open(self) -> int:
        """The revision of the draft that there is; 0 for none."""
        return self.revision if self.definition is not None else 0


NO_DRAFT: Final = DraftState()


def written(playbook: Playbook, version: int = 0) -> PlaybookDefinition:
    """The definition of a version (0: the current one); an empty one before the first."""
    content = playbook.content(version) if version or playbook.current else None
    return content.definition if content is not None else PlaybookDefinition()


def base_of(draft: DraftState, playbook: Playbook) -> PlaybookDefinition:
    """What the draft began with."""
    return written(playbook, draft.base) if draft.base else PlaybookDefinition()


def is_outdated(draft: DraftState, playbook: Playbook) -> bool:
    """Whether publishing the draft would undo what was published since it began."""
    now = written(playbook)
    return draft.base != playbook.current and now not in (base_of(draft, playbook), draft.definition)


def edit(command: EditDraft, draft: DraftState, playbook: Playbook) -> Sequence[DraftEdited]:
    """The next revision; nothing where the edits change nothing."""
    if not is_slug(command.playbook):
        raise Problem("argument.invalid", f"{command.playbook!r} cannot be the name of a playbook", argument="name")
    if not command.edits:
        raise Problem("argument.invalid", "say what to edit", argument="edits")
    _refuse_stale(command.playbook, command.expected, draft)
    if draft.open and command.expected is None and any(not step.path for step in command.edits):
        text = f"playbook {command.playbook!r} has a draft at revision {draft.open}: name the revision that you edited"
        raise Problem("draft.stale", text, revision=draft.open)
    before = draft.definition if draft.definition is not None else written(playbook)
    after = edited(before, command.edits)
    if after == before:
        return []
    base = draft.base if draft.open else playbook.current
    return [_revised(command.playbook, draft, base, after)]


def edited(definition: PlaybookDefinition, edits: Sequence[DraftStep]) -> PlaybookDefinition:
    """The definition with the edits; `file.invalid` says where it would be none any more."""
    data: Any = msgspec.to_builtins(definition)
    for step in edits:
        try:
            data = replaced(data, step.path, MISSING if step.remove else step.value)
        except LookupError as error:
            raise Problem("file.invalid", f"{'.'.join(step.path)}: {error.args[0]}", path=list(step.path)) from None
    return _definition({} if data is MISSING else data)


def rebase(command: RebaseDraft, draft: DraftState, playbook: Playbook) -> Sequence[DraftEdited]:
    """The draft over the current version; nothing where it stands on that already."""
    mine = _existing(command.playbook, draft)
    _refuse_stale(command.playbook, command.expected, draft)
    if draft.base == playbook.current:
        return []
    before, ours, theirs = map(msgspec.to_builtins, (base_of(draft, playbook), mine, written(playbook)))
    data, conflicts = merged(before, ours, theirs, prefer_mine=command.prefer != "version")
    if conflicts and not command.prefer:
        raise _conflicting(command.playbook, playbook.current, conflicts)
    return [_revised(command.playbook, draft, playbook.current, _definition(data))]


def discard(command: DiscardDraft, draft: DraftState) -> Sequence[DraftDiscarded]:
    """The end of a draft that nobody published."""
    _existing(command.playbook, draft)
    _refuse_stale(command.playbook, command.expected, draft)
    return [DraftDiscarded(playbook=command.playbook, revision=draft.revision)]


def publishable(name: str, draft: DraftState, playbook: Playbook, expected: int | None) -> PlaybookDefinition:
    """What a publish would publish; refused where it would undo what somebody else published in between."""
    wanted = _existing(name, draft)
    _refuse_stale(name, expected, draft)
    if is_outdated(draft, playbook):
        changes = written_changes(base_of(draft, playbook), written(playbook))
        raise Problem(
            "draft.outdated",
            f"the draft of {name!r} began at version {draft.base}, and version {playbook.current} is another one",
            current=playbook.current,
            changes=msgspec.to_builtins([*changes]),
        )
    return wanted


def evolve(state: DraftState, event: Event) -> DraftState:
    """The state after the event."""
    match event:
        case DraftEdited(revision=revision, base=base, definition=definition):
            before = () if state.definition is None else ((state.revision, state.definition),)
            earlier = (*state.earlier, *before)[-_KEPT:]
            return DraftState(revision=revision, base=base, definition=definition, earlier=earlier)
        case DraftDiscarded() | DraftPublished():
            return DraftState(revision=state.revision)
        case _:
            assert_never(event)


def _revised(playbook: str, draft: DraftState, base: int, definition: PlaybookDefinition) -> DraftEdited:
    return DraftEdited(playbook=playbook, revision=draft.revision + 1, base=base, definition=definition)


def _existing(playbook: str, draft: DraftState) -> PlaybookDefinition:
    if draft.definition is None:
        raise Problem("draft.unknown", f"playbook {playbook!r} has no draft", playbook=playbook)
    return draft.definition


def _refuse_stale(playbook: str, expected: int | None, draft: DraftState) -> None:
    """`draft.stale` with what others changed since the revision that was looked at."""
    if expected is None or expected == draft.open:
        return
    if draft.definition is None:
        raise Problem("draft.stale", f"playbook {playbook!r} has no draft at revision {expected} any more", revision=0)
    seen = dict(draft.earlier).get(expected)
    changes = [] if seen is None else [*written_changes(seen, draft.definition)]
    text = f"the draft of {playbook!r} is at revision {draft.open}, not {expected}"
    raise Problem("draft.stale", text, revision=draft.open, changes=msgspec.to_builtins(changes))


def _conflicting(playbook: str, version: int, conflicts: Sequence[Conflict]) -> Problem:
    told = [
        {"path": ".".join(one.path), "before": one.before, "draft": one.mine, "version": one.theirs}
        for one in conflicts
    ]
    places = ", ".join(str(one["path"]) for one in told)
    text = f"the draft of {playbook!r} and version {version} say different things of {places}"
    return Problem("draft.conflict", text, current=version, conflicts=told)


def _definition(data: Any) -> PlaybookDefinition:
    try:
        return msgspec.convert(data, PlaybookDefinition)
    except msgspec.ValidationError as error:
        raise Problem("file.invalid", f"that would be no playbook: {error}") from None
