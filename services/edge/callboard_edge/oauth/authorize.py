"""`/authorize` on the SDK's handler, which checks the parameters; the person decides at `/consent/{request}`.

Anybody registers a client, and nobody has been asked yet when a request is refused. So errors go at once only to the
person's own machine, and to clients that somebody here has let in before; to others leads a page that names the host
(RFC 9700 section 4.11.2).
"""

from __future__ import annotations

from typing import cast
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from mcp.server.auth.handlers.authorize import AuthorizationHandler
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
)
from mcp.shared.auth import OAuthClientInformationFull
from pydantic import AnyUrl
from starlette.requests import Request
from starlette.responses import Response

from callboard.contracts import oauth_subjects as subjects
from callboard.contracts.oauth_server import AskClient, AuthorizationBegun, BeginAuthorization, OAuthClient
from callboard.contracts.problems import Problem
from callboard.kernel.redirect_uris import is_same
from callboard.platform.bus import Bus
from callboard_edge.oauth.endpoint import refusal
from callboard_edge.oauth.form import form_of, once
from callboard_edge.oauth.metadata import is_known
from callboard_edge.web.authorize_page import refused_page
from callboard_edge.web.consent import begun_cookie
from callboard_edge.web.pages import HEADERS

_FETCH_SECONDS = 20.0
_SOMEWHERE = AnyUrl("https://client.invalid/")
Provider = OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]


class Authorize:
    """The handler."""

    def __init__(self, bus: Bus, public_url: str) -> None:
        self._bus = bus
        self._issuer = public_url.rstrip("/")

    async def handle(self, request: Request) -> Response:
        """A redirect to the question; to the client with an error, or a page; JSON where there is no way back."""
        given = await _parameters(request)
        client_id = given.get("client_id", "")
        if not client_id:
            return refusal("invalid_request", "client_id: give it")
        address = request.client.host if request.client is not None else ""
        ask = AskClient(client_id=client_id, address=address)
        client = await self._bus.ask(subjects.CLIENT, ask, OAuthClient, _FETCH_SECONDS)
        # The SDK reads URLs through a parser that changes some of them, so what was sent is compared here.
        asked = given.get("redirect_uri", "")
        if asked and not any(is_same(uri, asked) for uri in client.redirect_uris):
            return refusal("invalid_request", "redirect_uri: the client has not registered it")
        if not asked and len(client.redirect_uris) != 1:
            return refusal("invalid_request", "redirect_uri: name one, the client has not exactly one")
        back, state = asked or client.redirect_uris[0], given.get("state")
        if given.get("code_challenge_method") != "S256":
            # Without a method it would be `plain` (RFC 7636 section 4.3), which the SDK takes for S256.
            text = "code_challenge_method: send S256"
            return _back(client, error_url(back, self._issuer, "invalid_request", text, state))
        provider = _Asking(self._bus, self._issuer, client, asked, address)
        response = await AuthorizationHandler(cast(Provider, provider)).handle(request)
        if provider.begun:
            # Only the browser in which it was begun is asked.
            response.headers.append("set-cookie", begun_cookie(request.cookies, provider.begun))
            return response
        if "location" not in response.headers:
            return response
        # The SDK's own have no `iss`, and the redirect URI in another spelling.
        said = parse_qs(urlsplit(response.headers["location"]).query)
        error, text = (said.get(name, [""])[-1] for name in ("error", "error_description"))
        return _back(client, error_url(back, self._issuer, error, text, state))


def _back(client: OAuthClient, url: str) -> Response:
    """With an error to the client at `url`: at once, or over a page that says where it leads."""
    parts = urlsplit(url)
    if parts.scheme != "https" or client.agreed:
        return Response(None, 302, {"Location": url, "Cache-Control": "no-store"})
    words = parse_qs(parts.query).get("error_description", [""])[-1]
    return Response(refused_page(parts.netloc, words, url), 400, HEADERS, media_type="text/html")


def error_url(redirect_uri: str, issuer: str, error: str, description: str, state: str | None) -> str:
    """The client's redirect URI with an error, and with `iss` as on success (RFC 9207)."""
    answer = {"error": error, "error_description": description, "iss": issuer}
    if state is not None:
        answer["state"] = state
    joint = "&" if urlsplit(redirect_uri).query else "?"
    return f"{redirect_uri}{joint}{urlencode(answer, quote_via=quote)}"


async def _parameters(request: Request) -> dict[str, str]:
    if request.method == "POST":
        return await form_of(request)
    return once(request.query_params.multi_items())


class _Client(OAuthClientInformationFull):
    """A client as the SDK's handler asks it. The redirect URI was compared before, as it was sent, and goes around it:
    its parser changes some URLs, and cannot read all that a client may have registered.
    """

    def validate_redirect_uri(self, redirect_uri: AnyUrl | None) -> AnyUrl:
        return _SOMEWHERE

    def validate_scope(self, requested_scope: str | None) -> list[str] | None:
        """Scopes that mean nothing here are left out; when none is left, the client gets what a playbook needs."""
        return [scope for scope in (requested_scope or "").split() if is_known(scope)]


class _Asking:
    """What the SDK's handler wants to know, for one request."""

    def __init__(self, bus: Bus, issuer: str, client: OAuthClient, asked: str, address: str) -> None:
        self._bus = bus
        self._issuer = issuer
        self._client = client
        self._asked = asked
        self._address = address
        self.begun = ""

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        """The client that this request named."""
        if client_id != self._client.client_id:
            return None
        return _Client(
            client_id=client_id,
            client_name=self._client.name or None,
            redirect_uris=[_SOMEWHERE],
            grant_types=list(self._client.grant_types),
        )

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        """Where the browser goes: to the question, or back."""
        back = self._asked or self._client.redirect_uris[0]
        begin = BeginAuthorization(
            client_id=client.client_id,
            redirect_uri=back,
            named=bool(self._asked),
            challenge=params.code_challenge,
            state=params.state,
            scopes=tuple(params.scopes or ()),
            resource=params.resource or "",
            address=self._address,
        )
        try:
            begun = await self._bus.ask(subjects.BEGIN_AUTHORIZATION, begin, AuthorizationBegun)
        except Problem as problem:
            if problem.code == "oauth.refused":
                error = str(problem.data.get("error", "invalid_request"))
                return error_url(back, self._issuer, error, problem.message, params.state)
            away = problem.http_status in (429, 503)
            error, text = ("temporarily_unavailable", problem.hint) if away else ("server_error", "try again later")
            return error_url(back, self._issuer, error, text, params.state)
        self.begun = begun.request
        return f"{self._issuer}/consent/{begun.request}"
