"""`cb.ask.router.layer` and `cb.ask.router.layers`: layers with their history, and who stands on older ones."""

from __future__ import annotations

from collections.abc import Iterator

from callboard.contracts.events import LayerPublished
from callboard.contracts.layers import (
    AskLayer,
    AskLayers,
    LayerLine,
    Layers,
    LayerVersion,
    ShownLayer,
)
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of_struct
from callboard.platform.event_store import EventStore
from callboard_router.decisions import Decisions
from callboard_router.layers.domain import LayerState, stream_of
from callboard_router.layers.under import outdated_playbooks
from callboard_router.state import Organisation


class ShowLayers:
    """Answers from memory; who published what is read from the log, where it can be erased."""

    def __init__(self, decisions: Decisions, store: EventStore) -> None:
        self._decisions = decisions
        self._store = store

    async def layer(self, question: AskLayer) -> ShownLayer:
        """One layer; version 0 of one that never was is empty."""
        organisation = await self._decisions.current(question.organisation)
        state = organisation.layer(question.scope, question.project)
        version = question.version or state.current
        if not 0 <= version <= state.current:
            text = f"the layer has no version {version}; the newest is {state.current}"
            raise Problem("layer.version_unknown", text, current=state.current)
        layer = state.versions[version - 1].layer if version else state.layer
        return ShownLayer(
            scope=question.scope,
            project=question.project,
            version=version,
            digest=digest_of_struct(layer),
            layer=layer,
            versions=await self._versions(question),
        )

    async def _versions(self, question: AskLayer) -> tuple[LayerVersion, ...]:
        stream = stream_of(question.scope, question.project)
        return tuple(
            LayerVersion(
                version=recorded.event.version,
                digest=recorded.event.digest,
                actor=recorded.meta.actor,
                comment=recorded.meta.comment,
                at=recorded.recorded_at,
            )
            for recorded in reversed(await self._store.read_stream(question.organisation, stream))
            if isinstance(recorded.event, LayerPublished)
        )

    async def layers(self, question: AskLayers) -> Layers:
        """All that an organisation's playbooks can stand on."""
        await self._decisions.current_system()
        organisation = await self._decisions.current(question.organisation)
        return Layers(
            layers=tuple(_lines(organisation)),
            outdated=tuple(outdated_playbooks(question.organisation, organisation)),
        )


def _lines(organisation: Organisation) -> Iterator[LayerLine]:
    yield from _line("system", "", organisation.system.layer("system"))
    yield from _line("organisation", "", organisation.layer("organisation"))
    for project in organisation.projects:
        yield from _line("project", project, organisation.layer("project", project))


def _line(scope: str, project: str, state: LayerState) -> Iterator[LayerLine]:
    if state.versions:
        yield LayerLine(
            scope=scope,  # type: ignore[arg-type]  # one of the three
            project=project,
            version=state.current,
            digest=state.digest,
            prompts=len(state.layer.prompts),
            resources=len(state.layer.resources),
        )
