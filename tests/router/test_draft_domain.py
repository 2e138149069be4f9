from __future__ import annotations

from typing import Any

import pytest

from callboard.contracts.definitions import PlaybookContent, PlaybookDefinition, PlaybookServer, ToolRules
from callboard.contracts.drafts import DiscardDraft, DraftStep, EditDraft, RebaseDraft
from callboard.contracts.events import DraftDiscarded, DraftEdited, DraftPublished
from callboard.contracts.problems import Problem
from callboard_router.drafts import domain
from callboard_router.drafts.domain import NO_DRAFT, DraftState
from callboard_router.playbooks.domain import Playbook

WHO: dict[str, Any] = {"command_id": "1", "organisation": "acme", "playbook": "start"}


def written(title: str, **more: Any) -> PlaybookDefinition:
    return PlaybookDefinition(title=title, servers={"git": PlaybookServer()}, **more)


def playbook(*definitions: PlaybookDefinition) -> Playbook:
    return Playbook(versions=tuple(PlaybookContent(definition=definition) for definition in definitions))


def put(path: str, value: Any) -> DraftStep:
    return DraftStep(path=tuple(path.split(".")), value=value)


def draft(*definitions: PlaybookDefinition, base: int = 1) -> DraftState:
    state = NO_DRAFT
    for number, definition in enumerate(definitions, 1):
        edited = DraftEdited(playbook="start", revision=number, base=base, definition=definition)
        state = domain.evolve(state, edited)
    return state


def refused(code: str, call: Any, *arguments: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        call(*arguments)
    assert caught.value.code == code
    return caught.value


def test_the_first_edit_begins_at_the_current_version() -> None:
    edits = (put("title", "Two"), put("servers.git.tools.deny", ["git_reset"]))
    (event,) = domain.edit(EditDraft(**WHO, edits=edits), NO_DRAFT, playbook(written("Zero"), written("One")))
    rules = ToolRules(deny=("git_reset",))
    after = PlaybookDefinition(title="Two", servers={"git": PlaybookServer(tools=rules)})
    assert event == DraftEdited(playbook="start", revision=1, base=2, definition=after)


def test_edits_are_collected_and_what_changes_nothing_is_no_edit() -> None:
    state = draft(written("Two"))
    (event,) = domain.edit(EditDraft(**WHO, edits=(put("description", "d"),)), state, playbook(written("One")))
    assert (event.revision, event.base) == (2, 1)
    assert event.definition == written("Two", description="d")
    assert domain.edit(EditDraft(**WHO, edits=(put("title", "Two"),)), state, playbook(written("One"))) == []
    assert domain.edit(EditDraft(**WHO, edits=(put("title", "One"),)), NO_DRAFT, playbook(written("One"))) == []


def test_a_draft_can_begin_a_playbook_that_is_not_there_yet() -> None:
    whole = DraftStep(path=(), value={"title": "New", "servers": {"git": {}}})
    (event,) = domain.edit(EditDraft(**WHO, edits=(whole,)), NO_DRAFT, playbook())
    assert (event.base, event.definition) == (0, written("New"))
    bad = EditDraft(**{**WHO, "playbook": "No Slug"}, edits=(whole,))
    refused("argument.invalid", domain.edit, bad, NO_DRAFT, playbook())


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (put("servers.git.names", 5), "servers"),
        (put("nonsense", 5), "nonsense"),
        (put("title.x", 5), "not a mapping"),
        (DraftStep(path=(), value=[1]), "array"),
    ],
)
def test_an_edit_that_makes_no_playbook_is_refused(step: DraftStep, why: str) -> None:
    problem = refused("file.invalid", domain.edit, EditDraft(**WHO, edits=(step,)), NO_DRAFT, playbook(written("One")))
    assert why in problem.message


def test_who_is_slower_is_told_what_the_other_one_edited() -> None:
    state = draft(written("Two"), written("Two", description="theirs"))
    slow = EditDraft(**WHO, edits=(put("title", "Mine"),), expected=1)
    problem = refused("draft.stale", domain.edit, slow, state, playbook(written("One")))
    assert problem.data["revision"] == 2
    assert [(change["path"], change["after"]) for change in problem.data["changes"]] == [("description", "theirs")]
    refused("draft.stale", domain.edit, EditDraft(**WHO, edits=(put("title", "x"),), expected=0), state, playbook())


def test_a_whole_definition_over_a_draft_has_to_name_the_revision_it_replaces() -> None:
    whole = DraftStep(path=(), value={"title": "Mine", "servers": {"git": {}}})
    state, one = draft(written("Two")), playbook(written("One"))
    refused("draft.stale", domain.edit, EditDraft(**WHO, edits=(whole,)), state, one)
    assert domain.edit(EditDraft(**WHO, edits=(whole,), expected=1), state, one)
    assert domain.edit(EditDraft(**WHO, edits=(put("title", "Mine"),)), state, one), "a single place needs no revision"


def test_a_revision_number_is_never_used_for_another_draft() -> None:
    state = domain.evolve(draft(written("Two")), DraftDiscarded(playbook="start", revision=1))
    assert (state.open, state.revision) == (0, 1)
    (event,) = domain.edit(EditDraft(**WHO, edits=(put("title", "x"),), expected=0), state, playbook(written("One")))
    assert event.revision == 2
    late = EditDraft(**WHO, edits=(put("title", "x"),), expected=1)
    refused("draft.stale", domain.edit, late, state, playbook(written("One")))


def test_a_draft_that_would_undo_what_was_published_since_is_not_published() -> None:
    state = draft(written("Mine"))
    moved = playbook(written("One"), written("One", description="theirs"))
    problem = refused("draft.outdated", domain.publishable, "start", state, moved, None)
    assert [change["path"] for change in problem.data["changes"]] == ["description"]
    assert domain.publishable("start", state, playbook(written("One")), None) == written("Mine")
    # Another version with the same definition (a drift was approved) undoes nothing, and neither does the same edit.
    assert domain.publishable("start", state, playbook(written("One"), written("One")), None)
    assert domain.publishable("start", state, playbook(written("One"), written("Mine")), 1)
    refused("draft.stale", domain.publishable, "start", state, moved, 7)
    refused("draft.unknown", domain.publishable, "start", NO_DRAFT, moved, None)


def test_a_rebase_takes_in_what_was_published_since() -> None:
    state = draft(written("Mine"))
    moved = playbook(written("One"), written("One", description="theirs"))
    (event,) = domain.rebase(RebaseDraft(**WHO), state, moved)
    assert (event.revision, event.base) == (2, 2)
    assert event.definition == written("Mine", description="theirs")
    assert domain.rebase(RebaseDraft(**WHO), domain.evolve(state, event), moved) == []


def test_a_rebase_over_the_same_place_needs_a_side_that_wins() -> None:
    state, moved = draft(written("Mine")), playbook(written("One"), written("Theirs"))
    problem = refused("draft.conflict", domain.rebase, RebaseDraft(**WHO), state, moved)
    assert problem.data["conflicts"] == [{"path": "title", "before": "One", "draft": "Mine", "version": "Theirs"}]
    for side, title in (("draft", "Mine"), ("version", "Theirs")):
        (event,) = domain.rebase(RebaseDraft(**WHO, prefer=side), state, moved)
        assert (event.base, event.definition.title) == (2, title)


def test_a_draft_is_discarded_once() -> None:
    state = draft(written("Two"))
    (event,) = domain.discard(DiscardDraft(**WHO), state)
    assert event == DraftDiscarded(playbook="start", revision=1)
    refused("draft.unknown", domain.discard, DiscardDraft(**WHO), domain.evolve(state, event))
    published = domain.evolve(state, DraftPublished(playbook="start", revision=1, version=2))
    refused("draft.unknown", domain.discard, DiscardDraft(**WHO), published)
