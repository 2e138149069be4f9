"""Layers: prompts, resources and instructions that playbooks get from their project, organisation and installation.

A layer is published like a playbook: each version is an event, the newest counts. A version of a playbook holds the
layers as they were at its publish, so a layer that changes changes no version: the playbook is published again.
The layer of the installation stands in a log of its own, under `SYSTEM`. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from callboard.contracts.definitions import Layer, LayerScope
from callboard.contracts.playbooks import Change

SYSTEM: Final = "_system"
"""The log of the installation's own layer; no organisation can have this name."""


class PublishLayer(msgspec.Struct, frozen=True, kw_only=True, tag="layer.publish", tag_field="type"):
    """Make this the next version of a layer; an empty one takes it away. `expected`: the version it is to follow.

    `organisation` is `SYSTEM` for the scope "system". `dry_run` only says what would change.
    """

    command_id: str
    organisation: str
    scope: LayerScope
    layer: Layer
    project: str = ""
    expected: int | None = None
    comment: str = ""
    actor: str = ""
    dry_run: bool = False


class OutdatedPlaybook(msgspec.Struct, frozen=True, kw_only=True):
    """A playbook whose current version holds other layers than there are now; publishing it takes them over."""

    organisation: str
    playbook: str
    version: int
    layers: tuple[str, ...]


class LayerPublishing(msgspec.Struct, frozen=True, kw_only=True, tag="layer.publish_done", tag_field="type"):
    """Answer to `PublishLayer`: its version now, or in a dry run then; `changed` false: it had this content.

    `outdated`: the playbooks that stand on it and show something else until they are published again. `unused`: it is
    of a project that no playbook names.
    """

    version: int
    digest: str
    changed: bool
    changes: tuple[Change, ...]
    outdated: tuple[OutdatedPlaybook, ...]
    seq: int
    unused: bool = False


class AskLayer(msgspec.Struct, frozen=True, kw_only=True, tag="layer?", tag_field="type"):
    """One layer whole; `version` 0 is the newest."""

    organisation: str
    scope: LayerScope
    project: str = ""
    version: int = 0


class LayerVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Who published a version of a layer, when and why."""

    version: int
    digest: str
    actor: str
    comment: str
    at: datetime


class ShownLayer(msgspec.Struct, frozen=True, kw_only=True, tag="layer", tag_field="type"):
    """Answer to `AskLayer`: the layer and its history, newest first."""

    scope: LayerScope
    project: str
    version: int
    digest: str
    layer: Layer
    versions: tuple[LayerVersion, ...]


class AskLayers(msgspec.Struct, frozen=True, kw_only=True, tag="layers?", tag_field="type"):
    """The layers of an organisation, the installation's included."""

    organisation: str


class LayerLine(msgspec.Struct, frozen=True, kw_only=True):
    """A layer in a list."""

    scope: LayerScope
    project: str
    version: int
    digest: str
    prompts: int
    resources: int


class Layers(msgspec.Struct, frozen=True, kw_only=True, tag="layers", tag_field="type"):
    """Answer to `AskLayers`: the broadest first, and the playbooks that have not taken them over yet."""

    layers: tuple[LayerLine, ...]
    outdated: tuple[OutdatedPlaybook, ...]
