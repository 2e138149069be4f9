"""What a playbook shows of its own and what it has from layers: the narrower one shadows the broader. Pure.

system < organisation < project < playbook, for each name of a prompt and each URI of a resource by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from callboard.contracts.definitions import HeldLayer, PlaybookDefinition, StoredPrompt, StoredResource
from callboard.kernel.names import first_match

Thing = TypeVar("Thing", bound=msgspec.Struct)
OWN = ""
"""Stands where a layer is named, for the playbook itself."""


class Layered(NamedTuple, Generic[Thing]):
    """One prompt or resource, where it comes from, and which broader layers have one under the same name."""

    thing: Thing
    layer: str
    shadows: tuple[str, ...]


class LeftOut(NamedTuple):
    """What a layer has and the playbook does not take, and the glob that says so."""

    kind: Literal["prompt", "resource"]
    name: str
    layer: str
    pattern: str


def prompts_of(definition: PlaybookDefinition, layers: Sequence[HeldLayer]) -> dict[str, Layered[StoredPrompt]]:
    """Name -> the prompt that is shown; the playbook's own first."""
    broader = [(layer.called, layer.layer.prompts) for layer in reversed(layers)]
    return _layered(definition.prompts, broader, definition.leave_out)


def resources_of(definition: PlaybookDefinition, layers: Sequence[HeldLayer]) -> dict[str, Layered[StoredResource]]:
    """URI -> the resource that is shown; the playbook's own first."""
    broader = [(layer.called, layer.layer.resources) for layer in reversed(layers)]
    return _layered(definition.resources, broader, definition.leave_out)


def _layered(
    own: Mapping[str, Thing], broader: Sequence[tuple[str, Mapping[str, Thing]]], leave_out: Sequence[str]
) -> dict[str, Layered[Thing]]:
    found: dict[str, Layered[Thing]] = {name: Layered(thing, OWN, ()) for name, thing in own.items()}
    for layer, things in broader:
        for name, thing in things.items():
            if name in found:
                found[name] = found[name]._replace(shadows=(*found[name].shadows, layer))
            elif first_match(leave_out, name) is None:
                found[name] = Layered(thing, layer, ())
    return found


def left_out(definition: PlaybookDefinition, layers: Sequence[HeldLayer]) -> Iterator[LeftOut]:
    """What the playbook does not take over; what it has under the same name itself is not among it."""
    for layer in reversed(layers):
        for name in layer.layer.prompts:
            pattern = first_match(definition.leave_out, name)
            if pattern is not None and name not in definition.prompts:
                yield LeftOut("prompt", name, layer.called, pattern)
        for uri in layer.layer.resources:
            pattern = first_match(definition.leave_out, uri)
            if pattern is not None and uri not in definition.resources:
                yield LeftOut("resource", uri, layer.called, pattern)


def instructions_of(definition: PlaybookDefinition, layers: Sequence[HeldLayer]) -> str:
    """The instructions of the playbook, else of the narrowest layer that has any, else its description."""
    inherited = (layer.layer.instructions for layer in reversed(layers) if layer.layer.instructions)
    return definition.instructions or next(inherited, definition.description)
