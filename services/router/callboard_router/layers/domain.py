"""The layer aggregate: versions of prompts, resources and instructions, each published once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from callboard.contracts.definitions import Layer
from callboard.contracts.events import LayerPublished
from callboard.contracts.layers import SYSTEM, PublishLayer
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider
from callboard.kernel.definition_rules import layer_faults
from callboard.kernel.digest import digest_of_struct
from callboard.kernel.names import is_slug


class LayerState(msgspec.Struct, frozen=True, kw_only=True):
    """State: every version as it was published, oldest first."""

    versions: tuple[LayerPublished, ...] = ()

    @property
    def current(self) -> int:
        """The newest version; 0 before the first."""
        return len(self.versions)

    @property
    def layer(self) -> Layer:
        """The newest version; an empty one before the first."""
        return self.versions[-1].layer if self.versions else Layer()

    @property
    def digest(self) -> str:
        """Of the newest version; computed once, when it was published."""
        return self.versions[-1].digest if self.versions else digest_of_struct(Layer())


def stream_of(scope: str, project: str) -> str:
    """The stream of a layer in the log of its organisation."""
    return f"layer-project-{project}" if scope == "project" else f"layer-{scope}"


def decide(command: PublishLayer, state: LayerState) -> Sequence[LayerPublished]:
    """The next version; nothing where the layer has this content already. Raises `Problem` for what cannot be."""
    _refuse_misplaced(command)
    if command.expected is not None and command.expected != state.current:
        text = f"the layer is at version {state.current}, not {command.expected}"
        raise Problem("layer.revision_stale", text, current=state.current)
    faults = [{"path": list(fault.path), "message": fault.message} for fault in layer_faults(command.layer)]
    if faults:
        raise Problem("file.invalid", str(faults[0]["message"]), faults=faults)
    if command.layer == state.layer:
        return []
    if not command.comment.strip():
        raise Problem("comment.required", "every change of a layer says why")
    return [
        LayerPublished(
            scope=command.scope,
            project=command.project,
            version=state.current + 1,
            layer=command.layer,
            digest=digest_of_struct(command.layer),
        )
    ]


def _refuse_misplaced(command: PublishLayer) -> None:
    if (command.scope == "project") != bool(command.project) or (command.project and not is_slug(command.project)):
        text = f"{command.project!r} is not the name of a project" if command.project else "name the project"
        raise Problem("argument.invalid", text, argument="project")
    if (command.scope == "system") != (command.organisation == SYSTEM):
        raise Problem("argument.invalid", "the layer of the installation belongs to no organisation", argument="scope")


def evolve(state: LayerState, event: LayerPublished) -> LayerState:
    """The state after the event."""
    return LayerState(versions=(*state.versions, event))


LAYER: Final[Decider[PublishLayer, LayerState, LayerPublished]] = Decider(LayerState(), decide, evolve)
