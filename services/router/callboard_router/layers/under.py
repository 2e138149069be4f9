"""The layers that a playbook stands on now, and whether its current version holds others. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from callboard.contracts.definitions import HeldLayer, Layer, LayerScope, PlaybookContent, PlaybookDefinition
from callboard.contracts.layers import OutdatedPlaybook
from callboard_router.layers.domain import LayerState
from callboard_router.state import Organisation


def layers_under(definition: PlaybookDefinition, organisation: Organisation) -> tuple[HeldLayer, ...]:
    """The broadest first; an empty layer is none."""
    found = [
        _held("system", organisation.system.layer("system")),
        _held("organisation", organisation.layer("organisation")),
    ]
    if definition.project:
        found.append(_held("project", organisation.layer("project", definition.project), definition.project))
    return tuple(layer for layer in found if layer.layer != Layer())


def _held(scope: LayerScope, state: LayerState, project: str = "") -> HeldLayer:
    return HeldLayer(scope=scope, project=project, digest=state.digest, layer=state.layer)


def outdated(content: PlaybookContent, organisation: Organisation) -> tuple[str, ...]:
    """The layers that are not any more as this content holds them, by name."""
    then = {layer.called: layer.digest for layer in content.layers or ()}
    now = {layer.called: layer.digest for layer in layers_under(content.definition, organisation)}
    return tuple(name for name in (*then, *(now.keys() - then.keys())) if then.get(name) != now.get(name))


def outdated_notes(content: PlaybookContent | None, organisation: Organisation) -> Iterator[str]:
    """One sentence for each such layer."""
    for name in outdated(content, organisation) if content is not None else ():
        yield f"the layer {name} has changed since this version; `callboard publish` takes it over"


def outdated_playbooks(name: str, organisation: Organisation) -> Iterator[OutdatedPlaybook]:
    """The playbooks of an organisation whose current versions hold other layers than there are now."""
    for playbook, state in sorted(organisation.playbooks.items()):
        content = state.content()
        layers = outdated(content, organisation) if content is not None and state.served else ()
        if layers:
            yield OutdatedPlaybook(organisation=name, playbook=playbook, version=state.current, layers=layers)


def is_named(project: str, organisation: Organisation) -> bool:
    """Whether the current version of a playbook stands on the layer of this project."""
    contents = (state.content() for state in organisation.playbooks.values() if state.served)
    return any(content is not None and content.definition.project == project for content in contents)
