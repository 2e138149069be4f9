"""`cb.cmd.projection.*`: one handler per command, each a single call."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.records import PoisonDecided, RebuildProjection, Rebuilt, RetryEvent, SkipEvent
from callboard.platform.bus import Bus, register
from callboard_projections.poison.decide import Decisions
from callboard_projections.rebuild.rebuild import Rebuilds


def register_commands(bus: Bus, rebuilds: Rebuilds, decisions: Decisions) -> None:
    """Subscribe every command of the room."""

    async def rebuild_projection(command: RebuildProjection) -> Rebuilt:
        return await rebuilds.begin(command.projection)

    async def skip_event(command: SkipEvent) -> PoisonDecided:
        return await decisions.skip(command)

    async def retry_event(command: RetryEvent) -> PoisonDecided:
        return await decisions.retry(command)

    register(bus, subjects.REBUILD, rebuild_projection)
    register(bus, subjects.SKIP_EVENT, skip_event)
    register(bus, subjects.RETRY_EVENT, retry_event)
