"""What is held back, what is told of it and once, and what a publish pins: the rules, without any server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callboard.contracts.calls import MODERN
from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    DriftPolicy,
    Exposed,
    PlaybookContent,
    PlaybookDefinition,
    PlaybookServer,
    ServerDefinition,
    StoredPrompt,
    ToolRules,
)
from callboard.contracts.drift import DriftChoice
from callboard.contracts.events import (
    Event,
    PlaybookDriftApproved,
    PlaybookDrifted,
    PlaybookDriftRejected,
    PlaybookPublished,
    PlaybookRolledBack,
    ServerCatalogueDiscovered,
    ServerRegistered,
)
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of_json, digest_of_struct
from callboard_router.catalogue.domain import content_of, expose
from callboard_router.catalogue.drift import approved_only, differences, held_of
from callboard_router.playbooks.decide_drift import approval, chosen, refuse_other_policy, rejection
from callboard_router.playbooks.drift_found import found_in, held_in, with_drift
from callboard_router.state import Organisation


def item(name: str, description: str = "as it was", **rest: object) -> CatalogueItem:
    members = {"name": name, "description": description, "inputSchema": {"type": "object"}, **rest}
    raw = msgspec.Raw(msgspec.json.encode(members))
    return CatalogueItem(name=name, digest=digest_of_json(raw), raw=raw)


def offering(*tools: CatalogueItem, prompts: tuple[CatalogueItem, ...] = ()) -> Catalogue:
    return Catalogue(era=MODERN, tools=tools, prompts=prompts)


def definition(drift: DriftPolicy | None = None, **rest: Any) -> PlaybookDefinition:
    servers = rest.pop("servers", {"git": PlaybookServer(names="bare")})
    return PlaybookDefinition(servers=servers, drift=drift, **rest)


class World:
    """One organisation with server `git` and playbook `p`, driven by events as the log has them."""

    def __init__(self, *tools: CatalogueItem, drift: DriftPolicy | None = None, **rest: Any) -> None:
        self.organisation = Organisation()
        self.happens({"server-git": [ServerRegistered(server="git", definition=ServerDefinition(url="http://h"))]})
        if tools:
            self.server_says(*tools)
        self.publish(definition(drift, **rest))

    def happens(self, writes: dict[str, list[Event]]) -> list[PlaybookDrifted]:
        """Append these with what follows from them; returns what was told of drift."""
        told = []
        for events in with_drift(self.organisation, writes).values():
            for event in events:
                self.organisation.fold(event)
                told += [event] if isinstance(event, PlaybookDrifted) else []
        return told

    def server_says(self, *tools: CatalogueItem, prompts: tuple[CatalogueItem, ...] = ()) -> list[PlaybookDrifted]:
        catalogue = offering(*tools, prompts=prompts)
        digest = digest_of_struct(catalogue)
        seen = ServerCatalogueDiscovered(server="git", digest=digest, catalogue=catalogue)
        return self.happens({"server-git": [seen]})

    def publish(self, wanted: PlaybookDefinition) -> list[PlaybookDrifted]:
        content = content_of(wanted, expose(wanted, self.catalogues))
        version = self.organisation.playbook("p").current + 1
        event = PlaybookPublished(playbook="p", version=version, content=content, content_digest="sha256:x")
        return self.happens({"playbook-p": [event]})

    @property
    def catalogues(self) -> dict[str, Catalogue]:
        found = self.organisation.server("git").catalogue
        return {"git": found} if found is not None else {}

    @property
    def held(self) -> list[tuple[str, str]]:
        return [(drift.name, drift.change) for drift in held_in(self.organisation, "p").values()]


def drifts(told: list[PlaybookDrifted]) -> list[tuple[str, str, str]]:
    return [(drift.name, drift.change, drift.verdict) for event in told for drift in event.drifts]


def test_a_changed_description_is_held_and_told_with_both_texts() -> None:
    world = World(item("log"), item("show"))
    (event,) = world.server_says(item("log", "now other"), item("show"))
    (drift,) = event.drifts
    assert (drift.name, drift.change, drift.verdict) == ("log", "changed", "held")
    assert "as it was" in drift.old
    assert "now other" in drift.new
    assert world.held == [("log", "changed")]


def test_the_same_drift_is_told_once() -> None:
    world = World(item("log"))
    assert drifts(world.server_says(item("log", "other"))) == [("log", "changed", "held")]
    assert world.server_says(item("log", "other"), item("new")) != []
    assert drifts(world.server_says(item("log", "other"))) == [("new", "removed", "accepted")]
    assert drifts(world.server_says(item("log", "third"))) == [("log", "changed", "held")]


@pytest.mark.parametrize(
    ("after", "held"),
    [
        (item("log", _meta={"build": 2}), False),
        (item("log", icons=[]), False),
        (item("log", annotations={"readOnlyHint": True}), True),
        (item("log", title="New"), True),
        (item("log", inputSchema={"type": "object", "properties": {"a": {"type": "string"}}}), True),
        (item("log", inputSchema={}), True),
        (item("log", _meta={"note": "hid\u200bden"}), True),
    ],
)
def test_only_what_no_agent_can_notice_is_let_through(after: CatalogueItem, held: bool) -> None:
    world = World(item("log"))
    assert bool(world.server_says(after)) is held
    assert world.held == ([("log", "changed")] if held else [])


def test_a_definition_whose_former_text_is_not_known_is_held() -> None:
    fresh = definition()
    pinned = PlaybookContent(definition=fresh, tools={"log": Exposed(server="git", name="log", digest="sha256:old")})
    catalogues = {"git": offering(item("log"))}
    found = differences(expose(fresh, catalogues, pinned), pinned, catalogues, {})
    assert [(drift.change, drift.verdict, drift.old) for drift in found] == [("changed", "held", "")]


def test_a_hold_ends_when_the_server_says_again_what_was_pinned() -> None:
    world = World(item("log"))
    world.server_says(item("log", "other"))
    assert drifts(world.server_says(item("log"))) == [("log", "settled", "accepted")]
    assert world.held == []


def test_a_version_of_before_the_server_answered_takes_what_comes_first_and_then_holds() -> None:
    world = World()
    assert drifts(world.server_says(item("log"))) == [("log", "arrived", "accepted")]
    assert drifts(world.server_says(item("log", "other"))) == [("log", "changed", "held")]


def test_what_was_added_and_accepted_is_held_when_it_changes_also_after_it_was_away() -> None:
    world = World(item("log"))
    assert drifts(world.server_says(item("log"), item("new"))) == [("new", "added", "accepted")]
    assert drifts(world.server_says(item("log"))) == [("new", "removed", "accepted")]
    assert drifts(world.server_says(item("log"), item("new", "other"))) == [("new", "changed", "held")]


def test_the_policy_of_the_playbook_decides() -> None:
    world = World(item("log"), item("show"), drift=DriftPolicy(changed="accept", added="hold", removed="hold"))
    told = world.server_says(item("log", "other"), item("new"))
    assert sorted(drifts(told)) == [
        ("log", "changed", "accepted"),
        ("new", "added", "held"),
        ("show", "removed", "held"),
    ]


def test_prompts_are_held_like_tools_and_stored_ones_are_never() -> None:
    stored = StoredPrompt(template="hi")
    world = World(item("log"), prompts={"hello": stored})
    world.server_says(item("log"), prompts=(item("ask"),))
    assert drifts(world.server_says(item("log"), prompts=(item("ask", "other"),))) == [("ask", "changed", "held")]


def test_a_server_that_is_not_used_any_more_drifts_no_more() -> None:
    world = World(item("log"))
    world.server_says(item("log", "other"))
    off = definition(servers={"git": PlaybookServer(names="bare", enabled=False)})
    assert drifts(world.publish(off)) == [("log", "settled", "accepted")]


def test_approving_pins_what_is_now_and_nothing_else() -> None:
    world = World(item("log"), item("show"))
    world.server_says(item("log", "other"), item("show", "other"))
    pinned = world.organisation.pinned("p")
    assert pinned is not None
    held = held_in(world.organisation, "p").values()
    event = approval("p", 1, pinned, chosen((DriftChoice(name="log", after=item("log", "other").digest),), held))
    assert (event.version, event.content.tools["show"]) == (2, pinned.tools["show"])
    assert world.happens({"playbook-p": [event]}) == []
    assert world.held == [("show", "changed")]
    assert world.organisation.playbook("p").current == 2


def test_approving_a_removal_forgets_what_was_pinned() -> None:
    world = World(item("log"), item("show"), drift=DriftPolicy(removed="hold"))
    world.server_says(item("log"))
    pinned, held = world.organisation.pinned("p"), held_in(world.organisation, "p").values()
    assert pinned is not None
    event = approval("p", 1, pinned, chosen((DriftChoice(name="show", after=""),), held))
    world.happens({"playbook-p": [event]})
    assert (world.held, list(event.content.tools)) == ([], ["log"])


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        (DriftChoice(name="show", after=""), "drift.unknown"),
        (DriftChoice(name="log", after="", kind="prompt"), "drift.unknown"),
        (DriftChoice(name="log", after="sha256:seen-before"), "drift.stale"),
    ],
)
def test_a_decision_is_about_what_is_held_as_it_was_seen(choice: DriftChoice, code: str) -> None:
    world = World(item("log"), item("show"))
    world.server_says(item("log", "other"), item("show"))
    with pytest.raises(Problem) as refused:
        chosen((choice,), held_in(world.organisation, "p").values())
    assert refused.value.code == code


def test_a_rejection_holds_for_one_definition_and_outlives_a_publish() -> None:
    world = World(item("log"), drift=DriftPolicy(added="hold"))
    world.server_says(item("log"), item("new"))
    (drift,) = held_in(world.organisation, "p").values()
    pinned = world.organisation.pinned("p")
    assert pinned is not None
    event = rejection("p", 1, pinned, (drift,))
    assert isinstance(event, PlaybookDriftRejected)
    world.happens({"playbook-p": [event]})
    assert world.organisation.drift("p").is_rejected(drift)
    content = approved_only(
        content_of(definition(DriftPolicy(added="hold"), title="Two"), expose(definition(), world.catalogues)),
        pinned,
        held_in(world.organisation, "p"),
        expose(definition(), world.catalogues),
        world.organisation.definitions,
    )
    world.happens(
        {"playbook-p": [PlaybookPublished(playbook="p", version=2, content=content, content_digest="sha256:y")]}
    )
    (drift,) = held_in(world.organisation, "p").values()
    assert world.organisation.drift("p").is_rejected(drift)
    world.server_says(item("log"), item("new", "third"))
    (drift,) = held_in(world.organisation, "p").values()
    assert not world.organisation.drift("p").is_rejected(drift)


def published(world: World, wanted: PlaybookDefinition) -> PlaybookContent:
    """What a publish without any approval would pin."""
    exposure = expose(wanted, world.catalogues)
    return approved_only(
        content_of(wanted, exposure),
        world.organisation.pinned("p"),
        held_in(world.organisation, "p"),
        exposure,
        world.organisation.definitions,
    )


def test_a_publish_takes_over_what_was_approved_under_whatever_name() -> None:
    world = World(item("log"), item("show"))
    world.server_says(item("log", "other"), item("show"), item("new"))
    rules = ToolRules(rename={"log": "history"})
    content = published(world, definition(servers={"git": PlaybookServer(names="bare", tools=rules)}))
    assert content.tools["history"].digest == item("log").digest
    assert content.tools["new"].digest == item("new").digest


def test_a_publish_pins_nothing_that_is_held_because_it_was_added_or_is_gone() -> None:
    policy = DriftPolicy(added="hold", removed="hold")
    world = World(item("log"), item("show"), drift=policy)
    world.server_says(item("log"), item("new"))
    content = published(world, definition(policy, title="Two"))
    assert sorted(content.tools) == ["log", "show"]
    denied = PlaybookServer(names="bare", tools=ToolRules(deny=("show",)))
    assert list(published(world, definition(policy, servers={"git": denied})).tools) == ["log"]


def test_a_rollback_to_what_servers_do_not_say_any_more_is_told_with_it() -> None:
    world = World(item("log"))
    world.server_says(item("log", "other"))
    pinned = world.organisation.pinned("p")
    first = world.organisation.playbook("p").content(1)
    assert pinned is not None
    assert first is not None
    (drift,) = held_in(world.organisation, "p").values()
    world.happens({"playbook-p": [approval("p", 1, pinned, (drift,))]})
    back = PlaybookRolledBack(playbook="p", version=3, to_version=1, content=first, content_digest="sha256:x")
    (told,) = world.happens({"playbook-p": [back]})
    assert (told.version, drifts([told])) == (3, [("log", "changed", "held")])


def test_only_the_approver_may_change_who_approves() -> None:
    before = PlaybookContent(definition=definition(DriftPolicy(approver="ann")))
    refuse_other_policy("p", before, definition(DriftPolicy(approver="ann"), title="Two"), "bob/1")
    refuse_other_policy("p", before, definition(), "ann/2")
    with pytest.raises(Problem) as refused:
        refuse_other_policy("p", before, definition(), "bob/1")
    assert refused.value.code == "auth.forbidden"


def test_a_playbook_that_is_not_served_drifts_not() -> None:
    world = World(item("log"))
    assert found_in(world.organisation, "other", world.catalogues) == []
    assert held_of([]) == {}


def test_what_an_approval_says_can_be_folded_from_the_log_alone() -> None:
    world = World(item("log"))
    world.server_says(item("log", "other"))
    pinned = world.organisation.pinned("p")
    assert pinned is not None
    event = approval("p", 1, pinned, tuple(held_in(world.organisation, "p").values()))
    assert isinstance(event, PlaybookDriftApproved)
    world.happens({"playbook-p": [event]})
    assert world.organisation.drift("p").open == {}
    assert world.organisation.definitions.keys() >= {item("log").digest, item("log", "other").digest}
