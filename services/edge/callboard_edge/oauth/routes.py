"""The routes of the authorization server, on the origin of the MCP endpoints. Pages are in `web/`."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from litestar.types import ControllerRouterHandler
from starlette.requests import Request
from starlette.responses import Response

from callboard.platform.bus import Bus
from callboard_edge.auth.verify import Tokens
from callboard_edge.oauth.endpoint import answer, endpoint
from callboard_edge.oauth.metadata import PATHS, metadata
from callboard_edge.oauth.token import TokenEndpoints

_METADATA_SECONDS = 300
_REGISTRATION_BYTES = 8 * 1024


async def _module(name: str) -> Any:
    """A module on top of the SDK, which takes 20 MiB and half a second to import: when somebody needs it."""
    return await asyncio.to_thread(importlib.import_module, f"callboard_edge.oauth.{name}")


def oauth_routes(bus: Bus, tokens: Tokens, public_url: str) -> list[ControllerRouterHandler]:
    """Everything but the pages."""
    document = metadata(public_url)
    made = TokenEndpoints(bus, tokens, public_url)

    async def described(request: Request) -> Response:
        response = answer(document)
        response.headers["Cache-Control"] = f"public, max-age={_METADATA_SECONDS}"
        del response.headers["Pragma"]
        return response

    async def authorize(request: Request) -> Response:
        handler = (await _module("authorize")).Authorize(bus, public_url)
        answered: Response = await handler.handle(request)
        return answered

    async def register(request: Request) -> Response:
        handler = (await _module("register")).Register(bus)
        answered: Response = await handler.handle(request)
        return answered

    return [
        endpoint(PATHS, described, ("GET",), shared=True),
        endpoint(("/authorize",), authorize, ("GET", "POST"), shared=False),
        endpoint(("/token",), made.token, ("POST",), shared=True),
        endpoint(("/register",), register, ("POST",), shared=True, limit=_REGISTRATION_BYTES),
        endpoint(("/revoke",), made.revoke, ("POST",), shared=True),
        endpoint(("/introspect",), made.introspect, ("POST",), shared=False),
    ]
