"""What concerns layers, on the bus: one handler per command and question, each a single call."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.layers import AskLayer, AskLayers, LayerPublishing, Layers, PublishLayer, ShownLayer
from callboard.platform.bus import Bus, register
from callboard.platform.event_store import EventStore
from callboard_router.decisions import Decisions
from callboard_router.layers.publish import PublishLayers
from callboard_router.layers.show import ShowLayers
from callboard_router.state import RouterState


def register_layers(bus: Bus, decisions: Decisions, store: EventStore, state: RouterState) -> None:
    """Subscribe all of it."""
    publishing, shown = PublishLayers(decisions, state), ShowLayers(decisions, store)

    async def publish_layer(command: PublishLayer) -> LayerPublishing:
        return await publishing.publish(command)

    async def layer(question: AskLayer) -> ShownLayer:
        return await shown.layer(question)

    async def layers(question: AskLayers) -> Layers:
        return await shown.layers(question)

    register(bus, subjects.PUBLISH_LAYER, publish_layer)
    register(bus, subjects.LAYER, layer)
    register(bus, subjects.LAYERS, layers)
