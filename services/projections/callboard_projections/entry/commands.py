"""`cb.cmd.projection.*`: one handler per command, each a single call."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.records import RebuildProjection, Rebuilt
from callboard.platform.bus import Bus, register
from callboard_projections.rebuild.rebuild import Rebuilds


def register_commands(bus: Bus, rebuilds: Rebuilds) -> None:
    """Subscribe every command of the room."""

    async def rebuild_projection(command: RebuildProjection) -> Rebuilt:
        return await rebuilds.begin(command.projection)

    register(bus, subjects.REBUILD, rebuild_projection)
