"""`/register` on the SDK's handler: dynamic client registration (RFC 7591)."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec
from mcp.server.auth.handlers.register import RegistrationHandler
from mcp.server.auth.provider import RegistrationError, RegistrationErrorCode
from mcp.server.auth.settings import ClientRegistrationOptions
from mcp.shared.auth import OAuthClientInformationFull
from starlette.requests import Request
from starlette.responses import Response

from callboard.contracts import oauth_subjects as subjects
from callboard.contracts.oauth_server import AuthMethod, ClientRegistered, RegisterClient
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_edge.oauth.authorize import Provider
from callboard_edge.oauth.endpoint import answer, refusal
from callboard_edge.oauth.metadata import is_known

_GRANTS: Final = ("authorization_code", "refresh_token")


class Register:
    """The handler."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def handle(self, request: Request) -> Response:
        """201 with the client; 400 for what cannot be registered, 429 for too many."""
        try:
            said = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return refusal("invalid_client_metadata", "the body is no JSON object")
        uris = said.get("redirect_uris")
        if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
            return refusal("invalid_redirect_uri", "redirect_uris: give a list of URIs")
        if isinstance(scope := said.get("scope"), str):
            # What means nothing here is not promised (RFC 7591 section 2).
            said["scope"] = " ".join(name for name in scope.split() if is_known(name)) or None
        if not said.get("token_endpoint_auth_method"):
            # Most clients are programs on somebody's machine, which keep no secret: who wants one asks for it.
            said["token_endpoint_auth_method"] = "none"
        address = request.client.host if request.client is not None else ""
        registering = _Registering(self._bus, tuple(uris), address)
        handler = RegistrationHandler(cast(Provider, registering), ClientRegistrationOptions(enabled=True))
        response = await handler.handle(_with_body(request, msgspec.json.encode(said)))
        response.headers["Cache-Control"] = "no-store"
        if response.status_code != 201:
            return response
        # The SDK's parser spells some URIs in another way; they were kept, and are compared, as they were sent.
        return answer(msgspec.json.decode(response.body, type=dict[str, Any]) | {"redirect_uris": uris}, 201)


class _Registering:
    """What the SDK's handler does with a client whose metadata are good; `uris` as they were sent."""

    def __init__(self, bus: Bus, uris: tuple[str, ...], address: str) -> None:
        self._bus = bus
        self._uris = uris
        self._address = address

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        """Registers it, and puts in the id and the secret of authsvc; raises what the handler answers with."""
        grants = tuple(grant for grant in _GRANTS if grant in client_info.grant_types)
        command = RegisterClient(
            address=self._address,
            name=client_info.client_name or "",
            redirect_uris=self._uris,
            auth_method=cast(AuthMethod, client_info.token_endpoint_auth_method),
            grant_types=grants,
        )
        try:
            made = await self._bus.ask(subjects.REGISTER_CLIENT, command, ClientRegistered)
        except Problem as problem:
            if problem.code != "oauth.refused":
                raise
            error = cast(RegistrationErrorCode, problem.data.get("error", "invalid_client_metadata"))
            raise RegistrationError(error, problem.message) from None
        client_info.client_id = made.client_id
        client_info.client_id_issued_at = int(made.issued_at.timestamp())
        client_info.client_secret = made.client_secret or None
        client_info.grant_types = list(grants)


def _with_body(request: Request, body: bytes) -> Request:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)
