"""Layers: of an organisation, of its projects, and of the installation."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import get, post
from litestar.params import Parameter

from callboard.contracts import subjects
from callboard.contracts.definitions import LayerScope
from callboard.contracts.layers import SYSTEM, AskLayer, AskLayers, LayerPublishing, Layers, PublishLayer, ShownLayer
from callboard.contracts.management import NewLayer
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

_ORGANISATION: Final = "/organisations/{organisation:str}/layer"
_PROJECT: Final = "/organisations/{organisation:str}/projects/{project:str}/layer"
_SYSTEM: Final = "/system/layer"
Number = Annotated[int, Parameter(ge=0)]


@get("/organisations/{organisation:str}/layers", summary="List layers")
async def list_layers(bus: Bus, caller: Caller, organisation: str) -> Layers:
    """With the playbooks (that the token reaches) which have not taken them over yet."""
    caller.require("read", organisation, "")
    found = await bus.ask(subjects.LAYERS, AskLayers(organisation=organisation), Layers)
    outdated = tuple(line for line in found.outdated if caller.sees(line.playbook))
    return msgspec.structs.replace(found, outdated=outdated)


@get(_ORGANISATION, summary="The layer of an organisation")
async def organisation_layer(bus: Bus, caller: Caller, organisation: str, version: Number = 0) -> ShownLayer:
    """The newest version, or another; with the history."""
    caller.require("read", organisation)
    return await _shown(bus, organisation, "organisation", "", version)


@get(_PROJECT, summary="The layer of a project")
async def project_layer(bus: Bus, caller: Caller, organisation: str, project: str, version: Number = 0) -> ShownLayer:
    """The newest version, or another; with the history."""
    caller.require("read", organisation)
    return await _shown(bus, organisation, "project", project, version)


@get(_SYSTEM, summary="The layer of the installation")
async def system_layer(bus: Bus, caller: Caller, version: Number = 0) -> ShownLayer:
    """The newest version, or another; with the history."""
    caller.require_administrator()
    return await _shown(bus, SYSTEM, "system", "", version)


@post(_ORGANISATION, summary="Publish the layer of an organisation", status_code=200)
async def publish_organisation_layer(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, data: NewLayer
) -> LayerPublishing:
    """Playbooks stay as they are; the answer names those that are to be published again."""
    caller.require("playbook:publish", organisation)
    return await _published(bus, caller, stamp, data, organisation, "organisation")


@post(_PROJECT, summary="Publish the layer of a project", status_code=200)
async def publish_project_layer(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, project: str, data: NewLayer
) -> LayerPublishing:
    """Playbooks stay as they are; the answer names those that are to be published again."""
    caller.require("playbook:publish", organisation)
    return await _published(bus, caller, stamp, data, organisation, "project", project)


@post(_SYSTEM, summary="Publish the layer of the installation", status_code=200)
async def publish_system_layer(bus: Bus, caller: Caller, stamp: Stamp, data: NewLayer) -> LayerPublishing:
    """Playbooks stay as they are; the answer names those of all organisations that are to be published again."""
    caller.require_administrator()
    return await _published(bus, caller, stamp, data, SYSTEM, "system")


async def _shown(bus: Bus, organisation: str, scope: LayerScope, project: str, version: int) -> ShownLayer:
    question = AskLayer(organisation=organisation, scope=scope, project=project, version=version)
    return await bus.ask(subjects.LAYER, question, ShownLayer)


async def _published(
    bus: Bus, caller: Caller, stamp: Stamp, data: NewLayer, organisation: str, scope: LayerScope, project: str = ""
) -> LayerPublishing:
    command = PublishLayer(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        scope=scope,
        project=project,
        layer=data.layer,
        expected=data.expected,
        comment=data.comment,
        actor=caller.actor,
        dry_run=data.dry_run,
    )
    return await bus.ask(subjects.PUBLISH_LAYER, command, LayerPublishing)


ROUTES = [
    list_layers,
    organisation_layer,
    project_layer,
    system_layer,
    publish_organisation_layer,
    publish_project_layer,
    publish_system_layer,
]
