"""All routes of the management API, bound to one bus and one way to authenticate.

Above: `app.py`, which mounts them. Below: one file per noun.
"""

from __future__ import annotations

from litestar import Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from callboard.platform.bus import Bus
from callboard_edge.api import (
    access,
    assignments,
    audit,
    drift,
    organisations,
    playbooks,
    previews,
    records,
    replays,
    servers,
    sign_ins,
    system,
    vault,
)
from callboard_edge.api.caller import Authenticate, provide_caller, provide_stamp
from callboard_edge.api.tail import Tails
from callboard_edge.problems import api_problem
from callboard_edge.replay.run import Replays

_SECTIONS = {
    "organisations": organisations.ROUTES,
    "servers": [*servers.ROUTES, *sign_ins.ROUTES],
    "playbooks": playbooks.ROUTES,
    "assignments": assignments.ROUTES,
    "previews": previews.ROUTES,
    "drift": drift.ROUTES,
    "records": records.ROUTES,
    "replays": replays.ROUTES,
    "access": [*access.ROUTES, *vault.ROUTES],
    "audit": audit.ROUTES,
    "system": system.ROUTES,
}


def api_routes(bus: Bus, authenticate: Authenticate, tails: Tails, runs: Replays) -> list[ControllerRouterHandler]:
    """The routers under `/api/v1`; every error of theirs is a problem document."""

    async def provide_bus() -> Bus:
        return bus

    async def provide_tails() -> Tails:
        return tails

    async def provide_replays() -> Replays:
        return runs

    return [
        Router(
            path="/api/v1",
            route_handlers=handlers,
            tags=[section],
            dependencies={
                "bus": Provide(provide_bus),
                "tails": Provide(provide_tails),
                "replays": Provide(provide_replays),
                "caller": Provide(provide_caller(authenticate)),
                "stamp": Provide(provide_stamp),
            },
            exception_handlers={Exception: api_problem},
        )
        for section, handlers in _SECTIONS.items()
    ]
