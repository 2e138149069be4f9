"""`cb.cmd.layer.publish`: the next version of a layer; playbooks stay as they are until they are published again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from callboard.contracts.definitions import HeldLayer
from callboard.contracts.events import LayerPublished
from callboard.contracts.layers import SYSTEM, LayerPublishing, OutdatedPlaybook, PublishLayer
from callboard.kernel.diff import layer_changes
from callboard.kernel.digest import digest_of_struct
from callboard_router.decisions import Decisions, Writes
from callboard_router.layers.domain import LAYER, LayerState, stream_of
from callboard_router.layers.under import is_named, outdated_playbooks
from callboard_router.state import Organisation, RouterState


class PublishLayers:
    """Decides and appends, and says who stands on what was changed."""

    def __init__(self, decisions: Decisions, state: RouterState) -> None:
        self._decisions = decisions
        self._state = state

    async def publish(self, command: PublishLayer) -> LayerPublishing:
        """Answer with the version that has this content."""
        organisation = await self._decisions.current(command.organisation)
        before = organisation.layer(command.scope, command.project)
        if command.dry_run:
            events = LAYER.decide(msgspec.structs.replace(command, comment=command.comment or "dry run"), before)
            return self._answer(command, before, events, organisation.with_events(events))
        seen = await self._decisions.seen(command.organisation, command.command_id, command)
        if seen is not None:
            told = [recorded.event for recorded in seen if isinstance(recorded.event, LayerPublished)]
            answer = self._answer(command, before, told, organisation)
            return msgspec.structs.replace(answer, changes=(), seq=seen[-1].seq if seen else 0)
        return await self._commit(command, before)

    async def _commit(self, command: PublishLayer, looked_at: LayerState) -> LayerPublishing:
        expected = looked_at.current if command.expected is None else command.expected
        wanted = msgspec.structs.replace(command, expected=expected)
        before, events = looked_at, list[LayerPublished]()

        def decide(organisation: Organisation) -> Writes:
            nonlocal before, events
            before = organisation.layer(command.scope, command.project)
            events = list(LAYER.decide(wanted, before))
            return {stream_of(command.scope, command.project): events}

        seq = await self._decisions.commit(
            command.organisation, command.command_id, command, command.actor, command.comment, decide
        )
        organisation = await self._decisions.current(command.organisation)
        return msgspec.structs.replace(self._answer(command, before, events, organisation), seq=seq)

    def _answer(
        self, command: PublishLayer, before: LayerState, events: Sequence[LayerPublished], after: Organisation
    ) -> LayerPublishing:
        digest = digest_of_struct(command.layer)
        sides = (
            [HeldLayer(scope=command.scope, project=command.project, digest=digest, layer=layer)]
            for layer in (before.layer, command.layer)
        )
        return LayerPublishing(
            version=events[-1].version if events else before.current,
            digest=digest,
            changed=bool(events),
            changes=tuple(layer_changes(*sides)),
            outdated=tuple(self._outdated(command, after)),
            seq=0,
            unused=bool(command.project) and not is_named(command.project, after),
        )

    def _outdated(self, command: PublishLayer, after: Organisation) -> Sequence[OutdatedPlaybook]:
        if command.organisation != SYSTEM:
            return [*outdated_playbooks(command.organisation, after)]
        return [
            line
            for name, organisation in sorted(self._state.organisations.items())
            for line in outdated_playbooks(name, organisation.standing_on(after))
        ]
