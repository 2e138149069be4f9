"""`/health` (alive, version, uptime), `/ready` (every room answers) and `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from litestar import Response, get
from litestar.types import ControllerRouterHandler

import callboard
from callboard.contracts import subjects
from callboard.contracts.status import AskStatus, InstanceStatus
from callboard.platform.bus import Bus


class Readiness(msgspec.Struct, frozen=True):
    """Which rooms have a ready instance, and which have none."""

    ready: bool
    missing: list[str]
    instances: dict[str, int]


def _all_rooms_ready(answers: list[InstanceStatus]) -> bool:
    return {answer.room for answer in answers if answer.ready} == set(subjects.ROOMS)


async def readiness(bus: Bus, within: float = 0.4) -> Readiness:
    """Ask everybody; ready when every room has an instance that says so."""
    if not bus.connected:
        return Readiness(False, list(subjects.ROOMS), {})
    answers = await bus.gather(subjects.STATUS, AskStatus(), InstanceStatus, within, _all_rooms_ready)
    instances = {room: sum(1 for a in answers if a.room == room and a.ready) for room in subjects.ROOMS}
    missing = [room for room, count in instances.items() if not count]
    return Readiness(not missing, missing, instances)


def health_routes(bus: Bus, metrics: Callable[[], bytes]) -> list[ControllerRouterHandler]:
    """The three routes."""
    started = time.monotonic()

    @get("/health", sync_to_thread=False)
    def health() -> dict[str, str | float]:
        uptime = round(time.monotonic() - started, 3)
        return {"status": "ok", "version": callboard.__version__, "uptime_seconds": uptime}

    @get("/ready")
    async def ready() -> Response[Readiness]:
        state = await readiness(bus)
        return Response(state, status_code=200 if state.ready else 503)

    @get("/metrics", sync_to_thread=False)
    def exposition() -> Response[bytes]:
        return Response(metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [health, ready, exposition]
