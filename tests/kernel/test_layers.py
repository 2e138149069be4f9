from __future__ import annotations

from callboard.contracts.definitions import (
    HeldLayer,
    Layer,
    LayerScope,
    PlaybookContent,
    PlaybookDefinition,
    StoredPrompt,
    StoredResource,
)
from callboard.kernel.definition_rules import layer_faults, playbook_faults
from callboard.kernel.diff import changes_between
from callboard.kernel.digest import digest_of, digest_of_struct
from callboard.kernel.layers import instructions_of, left_out, prompts_of, resources_of


def prompts(**templates: str) -> dict[str, StoredPrompt]:
    return {name: StoredPrompt(template=template) for name, template in templates.items()}


def held(layer: Layer, scope: LayerScope, project: str = "") -> HeldLayer:
    return HeldLayer(scope=scope, project=project, digest=digest_of_struct(layer), layer=layer)


def layers(**more: Layer) -> list[HeldLayer]:
    system = held(more.get("system", Layer(prompts=prompts(a="system", b="system", c="system", d="system"))), "system")
    organisation = held(Layer(prompts=prompts(b="org", c="org", d="org"), instructions="of all"), "organisation")
    project = held(Layer(prompts=prompts(c="web", d="web")), "project", "web")
    return [system, organisation, project]


def test_the_narrower_layer_shadows_the_broader_name_by_name() -> None:
    found = prompts_of(PlaybookDefinition(prompts=prompts(d="own")), layers())
    assert {name: (one.thing.template, one.layer) for name, one in found.items()} == {
        "a": ("system", "system"),
        "b": ("org", "organisation"),
        "c": ("web", "project web"),
        "d": ("own", ""),
    }
    assert found["d"].shadows == ("project web", "organisation", "system")
    assert found["a"].shadows == ()
    assert next(iter(found)) == "d", "the playbook's own stand first"


def test_resources_are_layered_by_uri() -> None:
    here, there = StoredResource(text="here"), StoredResource(text="there")
    layer = held(Layer(resources={"doc://a": there, "doc://b": there}), "organisation")
    found = resources_of(PlaybookDefinition(resources={"doc://a": here}), [layer])
    assert [(uri, one.thing.text, one.layer) for uri, one in found.items()] == [
        ("doc://a", "here", ""),
        ("doc://b", "there", "organisation"),
    ]


def test_what_is_left_out_comes_from_no_layer_but_the_playbook_s_own_stays() -> None:
    definition = PlaybookDefinition(prompts=prompts(d="own"), leave_out=("b", "[cd]"))
    assert list(prompts_of(definition, layers())) == ["d", "a"]
    told = {(one.name, one.layer, one.pattern) for one in left_out(definition, layers())}
    assert ("b", "organisation", "b") in told
    assert ("c", "project web", "[cd]") in told
    assert not [one for one in told if one[0] == "d"]


def test_instructions_are_of_the_narrowest_that_has_any() -> None:
    assert instructions_of(PlaybookDefinition(description="d"), layers()) == "of all"
    assert instructions_of(PlaybookDefinition(description="d", instructions="own"), layers()) == "own"
    assert instructions_of(PlaybookDefinition(description="d"), []) == "d"


def test_a_version_without_layers_is_what_it_was_before_there_were_any() -> None:
    content = PlaybookContent(definition=PlaybookDefinition(title="T"))
    assert digest_of_struct(content) == digest_of(
        {"definition": {"title": "T"}, "tools": {}, "prompts": {}, "resources": {}}
    )


def test_a_diff_says_what_stands_otherwise_in_the_layers() -> None:
    def content(*standing: HeldLayer) -> PlaybookContent:
        return PlaybookContent(definition=PlaybookDefinition(), layers=standing)

    before = content(held(Layer(prompts=prompts(a="old")), "organisation"))
    after = content(held(Layer(prompts=prompts(a="new")), "organisation"), held(Layer(instructions="I"), "system"))
    told = [(change.kind, change.path, change.after) for change in changes_between(before, after)]
    assert ("changed", "layers.organisation.prompts.a.template", "new") in told
    assert ("added", "layers.system", {"instructions": "I"}) in told


def test_what_cannot_be_stored_is_refused_where_it_stands() -> None:
    layer = Layer(
        prompts={"p": StoredPrompt(template="{{x}}")},
        resources={
            "no uri": StoredResource(text="t"),
            "doc://both": StoredResource(text="t", blob="dA=="),
            "doc://none": StoredResource(),
            "doc://bad": StoredResource(blob="!"),
            "doc://good": StoredResource(blob="dA=="),
        },
    )
    assert [fault.path for fault in layer_faults(layer)] == [
        ("prompts", "p", "template"),
        ("resources", "no uri"),
        ("resources", "doc://both"),
        ("resources", "doc://none"),
        ("resources", "doc://bad", "blob"),
    ]
    definition = PlaybookDefinition(project="No Slug", resources={"doc://x": StoredResource(text="t")})
    assert [fault.path for fault in playbook_faults("start", definition, ())] == [("playbooks", "start", "project")]
