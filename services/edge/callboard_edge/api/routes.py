"""All routes of the management API, bound to one bus and to who knows tokens and sessions.

Above: `app.py`, which mounts them. Below: one file per noun.
"""

from __future__ import annotations

from litestar import Router
from litestar.di import Provide
from litestar.types import ASGIApp, ControllerRouterHandler

from callboard.platform.bus import Bus
from callboard_edge.api import (
    access,
    assignments,
    audit,
    drafts,
    drift,
    grants,
    layers,
    members,
    organisations,
    outgoing,
    people,
    persons,
    playbooks,
    policies,
    previews,
    projects,
    records,
    replays,
    servers,
    sign_ins,
    signing_keys,
    system,
    vault,
    webhooks,
)
from callboard_edge.api.caller import Gatekeeper, provide_caller, provide_stamp
from callboard_edge.api.names import Names, Opening
from callboard_edge.api.tail import Tails
from callboard_edge.auth.logins import Logins
from callboard_edge.problems import api_problem
from callboard_edge.replay.run import Replays

_SECTIONS = {
    "organisations": organisations.ROUTES,
    "servers": [*servers.ROUTES, *sign_ins.ROUTES],
    "playbooks": playbooks.ROUTES,
    "drafts": drafts.ROUTES,
    "layers": layers.ROUTES,
    "assignments": assignments.ROUTES,
    "previews": previews.ROUTES,
    "drift": drift.ROUTES,
    "policies": policies.ROUTES,
    "records": records.ROUTES,
    "replays": replays.ROUTES,
    "access": [*access.ROUTES, *vault.ROUTES, *grants.ROUTES],
    "members": members.ROUTES,
    "people": people.ROUTES,
    "persons": persons.ROUTES,
    "projects": projects.ROUTES,
    "audit": audit.ROUTES,
    "system": [*system.ROUTES, *signing_keys.ROUTES],
    "webhooks": [*webhooks.ROUTES, *outgoing.ROUTES],
}


def api_routes(bus: Bus, gatekeeper: Gatekeeper, tails: Tails, runs: Replays) -> list[ControllerRouterHandler]:
    """The routers under `/api/v1`; every error of theirs is a problem document."""

    async def provide_bus() -> Bus:
        return bus

    async def provide_logins() -> Logins:
        return gatekeeper.logins

    async def provide_tails() -> Tails:
        return tails

    async def provide_replays() -> Replays:
        return runs

    names = Names(bus)

    async def provide_names() -> Names:
        return names

    def opening(app: ASGIApp) -> ASGIApp:
        return Opening(app, names)

    return [
        Router(
            path="/api/v1",
            route_handlers=handlers,
            tags=[section],
            dependencies={
                "bus": Provide(provide_bus),
                "logins": Provide(provide_logins),
                "tails": Provide(provide_tails),
                "replays": Provide(provide_replays),
                "names": Provide(provide_names),
                "caller": Provide(provide_caller(gatekeeper)),
                "stamp": Provide(provide_stamp),
            },
            middleware=[opening],
            exception_handlers={Exception: api_problem},
        )
        for section, handlers in _SECTIONS.items()
    ]
