from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callboard.contracts.calls import LEGACY, MODERN, RpcHead
from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    Layer,
    PlaybookDefinition,
    PlaybookServer,
    ServerDefinition,
    StoredPrompt,
    StoredResource,
)
from callboard.contracts.drafts import PublishDraft
from callboard.contracts.events import LayerPublished, OrganisationCreated, ServerCatalogueDiscovered, ServerRegistered
from callboard.contracts.layers import SYSTEM, PublishLayer
from callboard.contracts.playbooks import ApplyOrganisation
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of_struct
from callboard_router.calls.resolve import Answer, resolve
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.explain import explain_things
from callboard_router.drafts.publish import decided
from callboard_router.layers.domain import LAYER
from callboard_router.layers.under import outdated, outdated_playbooks
from callboard_router.playbooks.plan import plan
from callboard_router.state import Organisation
from tests.support.gwt import given

REVIEW, HANDBOOK = (
    StoredPrompt(template="look", description="d"),
    StoredResource(text="be kind", mime_type="text/plain"),
)
ORDER: dict[str, Any] = {"command_id": "1", "organisation": "acme", "comment": "why"}
ALL = Layer(prompts={"review": REVIEW}, resources={"doc://handbook": HANDBOOK}, instructions="Be kind.")


def published(layer: Layer, scope: Any = "organisation", version: int = 1, project: str = "") -> LayerPublished:
    return LayerPublished(scope=scope, project=project, version=version, layer=layer, digest=digest_of_struct(layer))


def test_a_layer_is_published_once_and_an_equal_one_makes_no_version() -> None:
    wanted = PublishLayer(**ORDER, scope="organisation", layer=ALL)
    given(LAYER).when(wanted).then(published(ALL))
    given(LAYER, published(ALL)).when(wanted).then_nothing()
    given(LAYER).when(PublishLayer(**ORDER, scope="organisation", layer=Layer())).then_nothing()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"comment": ""}, "comment.required"),
        ({"expected": 3}, "layer.revision_stale"),
        ({"scope": "project"}, "argument.invalid"),
        ({"project": "web"}, "argument.invalid"),
        ({"scope": "project", "project": "No Slug"}, "argument.invalid"),
        ({"scope": "system"}, "argument.invalid"),
        ({"organisation": SYSTEM}, "argument.invalid"),
        ({"layer": Layer(resources={"x": HANDBOOK})}, "file.invalid"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(wrong: dict[str, Any], code: str) -> None:
    wanted = PublishLayer(**{**ORDER, "scope": "organisation", "layer": ALL, **wrong})
    given(LAYER).when(wanted).then_refused(code)


def organisation(*events: Any) -> Organisation:
    state = Organisation(Organisation())
    for event in (OrganisationCreated(organisation="acme"), *events):
        state.fold(event)
    return state


def applied(state: Organisation, definition: PlaybookDefinition) -> None:
    command = ApplyOrganisation(**ORDER, servers={}, playbooks={"start": definition})
    for events in plan(command, state, {}).writes.values():
        for event in events:
            state.fold(event)


def compiled(state: Organisation) -> CompiledPlaybook:
    content = state.playbook("start").content()
    assert content is not None
    return CompiledPlaybook(state.playbook("start").current, content, {}, 100, place="acme/start")


def asked(playbook: CompiledPlaybook, method: str, params: object, era: str = MODERN) -> Any:
    head = RpcHead("id", method, era, "c", "p", 0, 0)
    outcome = resolve(head, msgspec.json.encode(params), playbook)
    assert isinstance(outcome, Answer)
    return msgspec.json.decode(outcome.result)


OWN = PlaybookDefinition(prompts={"own": StoredPrompt(template="mine")}, project="web")


def test_agents_are_served_what_the_layers_hold() -> None:
    state = organisation(published(ALL), published(Layer(prompts={"review": OWN.prompts["own"]}), "project", 1, "web"))
    state.system.fold(published(Layer(prompts={"help": REVIEW}), "system"))
    applied(state, OWN)
    playbook = compiled(state)
    assert [prompt["name"] for prompt in asked(playbook, "prompts/list", {})["prompts"]] == ["own", "review", "help"]
    got = asked(playbook, "prompts/get", {"name": "review"})
    assert got["messages"][0]["content"]["text"] == "mine", "the project's is nearer than the organisation's"
    (listed,) = asked(playbook, "resources/list", {})["resources"]
    assert listed == {"uri": "doc://handbook", "name": "doc://handbook", "mimeType": "text/plain"}
    content = {"uri": "doc://handbook", "mimeType": "text/plain", "text": "be kind"}
    assert asked(playbook, "resources/read", {"uri": "doc://handbook"}, LEGACY) == {"contents": [content]}
    modern = asked(playbook, "resources/read", {"uri": "doc://handbook"})
    assert modern == {"contents": [content], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    assert asked(playbook, "callboard/open", {})["instructions"] == "Be kind."
    assert asked(playbook, "callboard/owner", {"uri": "doc://handbook"})["server"] == ""
    reference = {"ref": {"type": "ref/resource", "uri": "doc://handbook"}, "argument": {"name": "a", "value": ""}}
    assert asked(playbook, "completion/complete", reference)["completion"]["values"] == []


def test_a_version_shows_the_same_whatever_becomes_of_its_layers() -> None:
    state = organisation(published(ALL))
    applied(state, OWN)
    before = compiled(state)
    state.fold(published(Layer(prompts={"other": REVIEW}), version=2))
    after = compiled(state)
    assert (after.etags, after.opened) == (before.etags, before.opened)
    content = state.playbook("start").content()
    assert content is not None
    assert outdated(content, state) == ("organisation",)
    (line,) = outdated_playbooks("acme", state)
    assert (line.playbook, line.version, line.layers) == ("start", 1, ("organisation",))


def test_an_unchanged_file_takes_over_no_layer_by_the_way_and_says_so() -> None:
    state = organisation(published(ALL))
    applied(state, OWN)
    state.fold(published(Layer(), version=2))
    (line,) = plan(ApplyOrganisation(**ORDER, servers={}, playbooks={"start": OWN}), state, {}).lines
    assert (line.action, line.version) == ("unchanged", 1)
    assert "the layer organisation has changed since this version" in line.notes[0]
    applied(state, msgspec.structs.replace(OWN, title="Two"))
    content = state.playbook("start").content()
    assert content is not None
    assert not content.layers
    assert state.playbook("start").current == 2


def test_a_publish_without_a_draft_takes_the_layers_over() -> None:
    state = organisation(published(ALL))
    applied(state, OWN)
    wish = PublishDraft(**ORDER, playbook="start")
    with pytest.raises(Problem) as refused:
        decided(wish, state)
    assert refused.value.code == "draft.unknown"
    state.fold(published(Layer(prompts={"other": REVIEW}), version=2))
    answer, writes = decided(wish, state)
    assert (answer.version, answer.changed, answer.revision) == (2, True, 0)
    assert {change.path for change in answer.changes} >= {"prompt other", "prompt review", "resource doc://handbook"}
    for event in writes["playbook-start"]:
        state.fold(event)
    assert list(compiled(state).prompts) == ["own", "other"]


def test_layers_that_come_back_to_what_a_version_holds_leave_it_current() -> None:
    state = organisation(published(ALL))
    applied(state, OWN)
    state.fold(published(Layer(), version=2))
    state.fold(published(ALL, version=3))
    assert not list(outdated_playbooks("acme", state))


def test_a_stored_resource_that_says_otherwise_is_news_for_who_listens() -> None:
    def etag(text: str) -> str:
        state = organisation(published(Layer(resources={"doc://x": StoredResource(text=text)})))
        applied(state, OWN)
        return compiled(state).etags["resources"]

    assert etag("one") != etag("two")


def test_an_explanation_names_the_layer_and_what_it_shadows() -> None:
    state = organisation(published(ALL), published(Layer(prompts={"review": REVIEW}), "project", 1, "web"))
    applied(state, msgspec.structs.replace(OWN, leave_out=("doc://*",)))
    playbook = compiled(state)
    (review,) = explain_things(playbook, "review")
    assert (review.kind, review.layer, review.shadows) == ("prompt", "project web", ("organisation",))
    assert [rule.effect for rule in review.rules] == [
        "from the layer project web: nothing narrower has one of this name",
        "shadows the one of the layer organisation",
    ]
    (own,) = explain_things(playbook, "own")
    assert (own.layer, own.rules[0].where) == ("", "playbooks.start.prompts.own")
    (handbook,) = explain_things(playbook, "doc://handbook")
    assert (handbook.hidden, handbook.layer, handbook.rules[0].where) == (
        "left_out", "organisation", "playbooks.start.leave_out"
    )  # fmt: skip
    assert [hidden.name for hidden in playbook.exposure.hidden] == ["doc://handbook"]
    assert explain_things(playbook, "nothing") == ()


def test_a_server_that_offers_what_a_layer_has_is_refused_and_named() -> None:
    raw = msgspec.Raw(b'{"name":"review"}')
    item = CatalogueItem(name="review", digest="sha256:1", raw=raw)
    state = organisation(published(ALL))
    state.fold(ServerRegistered(server="bare", definition=ServerDefinition(url="http://h/mcp")))
    catalogue = Catalogue(era=MODERN, prompts=(item,))
    state.fold(ServerCatalogueDiscovered(server="bare", digest="sha256:2", catalogue=catalogue))
    with pytest.raises(Problem) as refused:
        applied(state, PlaybookDefinition(servers={"bare": PlaybookServer(names="bare")}))
    assert refused.value.code == "playbook.collision"
    applied(state, PlaybookDefinition(servers={"bare": PlaybookServer(names="bare")}, leave_out=("review",)))
    assert state.playbook("start").current == 1
