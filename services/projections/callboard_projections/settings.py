"""Settings of projections, from `CALLBOARD_PROJECTIONS_*`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from callboard.platform.settings import DatabaseSettings


class ProjectionsSettings(DatabaseSettings, frozen=True, kw_only=True):
    """What is kept, and how much of it.

    `calls_max_bytes`: size of the JetStream stream of call records. `calls_keep_days`: age in days at which a day of
    call records is dropped from Postgres. `stream_replicas`: copies of each stream and bucket in a NATS cluster.
    `canary_pause`: seconds between two looks at the canaries that run. `nice`: how far this room, and its sessions in a
    Postgres of the same machine, step back behind the rooms that answer calls (nice(2)); 0 leaves them as they are.
    """

    calls_max_bytes: Annotated[int, Meta(ge=1024 * 1024)] = 1024 * 1024 * 1024
    calls_keep_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    canary_pause: Annotated[float, Meta(gt=0, le=600)] = 3.0
    nice: Annotated[int, Meta(ge=0, le=19)] = 5
    stream_replicas: Annotated[int, Meta(ge=1, le=5)] = 1
