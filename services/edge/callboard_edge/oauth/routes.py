"""The routes of the authorization server, on the origin of the MCP endpoints. Pages are in `web/`."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler
from starlette.requests import Request
from starlette.responses import Response

from callboard.platform.bus import Bus
from callboard_edge.auth.verify import Tokens
from callboard_edge.oauth import register
from callboard_edge.oauth.authorize import Authorize
from callboard_edge.oauth.endpoint import answer, endpoint
from callboard_edge.oauth.metadata import PATHS, metadata
from callboard_edge.oauth.token import TokenEndpoints

_METADATA_SECONDS = 300


def oauth_routes(bus: Bus, tokens: Tokens, public_url: str) -> list[ControllerRouterHandler]:
    """Everything but the pages."""
    document = metadata(public_url)
    made = TokenEndpoints(bus, tokens, public_url)

    async def described(request: Request) -> Response:
        response = answer(document)
        response.headers["Cache-Control"] = f"public, max-age={_METADATA_SECONDS}"
        del response.headers["Pragma"]
        return response

    return [
        endpoint(PATHS, described, ("GET",), shared=True),
        endpoint(("/authorize",), Authorize(bus, public_url).handle, ("GET", "POST"), shared=False),
        endpoint(("/token",), made.token, ("POST",), shared=True),
        endpoint(("/register",), register.Register(bus).handle, ("POST",), shared=True, limit=register.BODY),
        endpoint(("/revoke",), made.revoke, ("POST",), shared=True),
        endpoint(("/introspect",), made.introspect, ("POST",), shared=False),
    ]
