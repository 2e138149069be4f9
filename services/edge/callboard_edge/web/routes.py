"""All pages for people."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from callboard.platform.bus import Bus
from callboard_edge.auth.logins import Logins
from callboard_edge.web.connect import connect_routes
from callboard_edge.web.consent import consent_routes
from callboard_edge.web.join import join_routes
from callboard_edge.web.login import login_routes


def page_routes(bus: Bus, logins: Logins, public_url: str) -> list[ControllerRouterHandler]:
    """Login, invitations, consent, and the connection of upstream servers."""
    parts = (login_routes, join_routes, consent_routes, connect_routes)
    return [route for routes in parts for route in routes(bus, logins, public_url)]
