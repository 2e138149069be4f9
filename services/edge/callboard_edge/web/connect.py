"""Where somebody signs in to an upstream server: `/connect/HANDLE`, and `/oauth/callback` where the browser comes back.

The link says for whom; the cookie says which browser agreed, and only that one may come back (authsvc compares). A page
elsewhere cannot agree in its place: the form is taken from our own origin only.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler

from callboard.contracts import subjects
from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import (
    AskSignIn,
    BeginSignIn,
    FinishSignIn,
    SignInBegun,
    SignInFinished,
    UpstreamSignIn,
)
from callboard.platform.bus import Bus
from callboard_edge.web import pages

_FLOW_SECONDS = 900
_WITHIN = 60.0  # authorization servers may take their time, three or four times in a row
Text = str | None
Page = Response[Any]


class ClientDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Callboard as client of authorization servers that read such documents (CIMD); `client_id` is its own URL."""

    client_id: str
    redirect_uris: tuple[str, ...]
    client_name: str = "Callboard"
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")
    response_types: tuple[str, ...] = ("code",)
    token_endpoint_auth_method: str = "none"


class Connect:
    """The handlers, and what they share."""

    def __init__(self, bus: Bus, public_url: str) -> None:
        self._bus = bus
        self._root = public_url.rstrip("/")
        parts = urlsplit(self._root)
        self._origin = f"{parts.scheme}://{parts.netloc}".lower()
        self._secure = parts.scheme == "https"
        # The prefix keeps other hosts of the same site from planting one; browsers take it over https only.
        self._cookie = "__Host-callboard-connect" if self._secure else "callboard-connect"

    async def show(self, handle: str) -> Page:
        """The page with the button."""
        found = await self._bus.ask(subjects.UPSTREAM_SIGN_IN, AskSignIn(handle=handle), UpstreamSignIn)
        return _html(pages.consent(found))

    async def agree(self, request: Request[Any, Any, Any], handle: str) -> Page:
        """The button was pressed: on to the authorization server."""
        if not self._is_ours(request):
            raise Problem("auth.forbidden", "the form was sent from another page than Callboard's own")
        key = secrets.token_urlsafe(32)
        begun = await self._bus.ask(
            subjects.BEGIN_SIGN_IN, BeginSignIn(handle=handle, browser=_hashed(key)), SignInBegun, _WITHIN
        )
        return Response(
            "",
            status_code=303,
            headers={**pages.HEADERS, "Location": begun.url},
            cookies=[
                Cookie(
                    self._cookie, value=key, max_age=_FLOW_SECONDS, secure=self._secure, httponly=True, samesite="lax"
                )
            ],
        )

    async def come_back(self, request: Request[Any, Any, Any], answer: FinishSignIn) -> Page:
        """The authorization server sent the browser back."""
        key = request.cookies.get(self._cookie, "")
        finish = msgspec.structs.replace(answer, browser=_hashed(key) if key else "")
        done = await self._bus.ask(subjects.FINISH_SIGN_IN, finish, SignInFinished, _WITHIN)
        return _html(pages.done(done))

    def document(self) -> ClientDocument:
        """Who Callboard is."""
        return ClientDocument(
            client_id=f"{self._root}/oauth/client-metadata.json", redirect_uris=(f"{self._root}/oauth/callback",)
        )

    def _is_ours(self, request: Request[Any, Any, Any]) -> bool:
        site = request.headers.get("sec-fetch-site", "same-origin")
        return site == "same-origin" and request.headers.get("origin", "").lower() == self._origin


def connect_routes(bus: Bus, public_url: str) -> list[ControllerRouterHandler]:
    """The four routes; every refusal is a page."""
    connect = Connect(bus, public_url)
    refusals: dict[int | type[Exception], Any] = {Problem: _refused}

    @get("/connect/{handle:str}", exception_handlers=refusals, include_in_schema=False)
    async def show(handle: str) -> Page:
        return await connect.show(handle)

    @post("/connect/{handle:str}", exception_handlers=refusals, include_in_schema=False)
    async def agree(request: Request[Any, Any, Any], handle: str) -> Page:
        return await connect.agree(request, handle)

    @get("/oauth/callback", exception_handlers=refusals, include_in_schema=False)
    async def come_back(
        request: Request[Any, Any, Any],
        code: Text = None,
        iss: Text = None,
        error: Text = None,
        returned: Annotated[Text, Parameter(query="state")] = None,
    ) -> Page:
        answer = FinishSignIn(browser="", state=returned or "", code=code, iss=iss, error=error)
        return await connect.come_back(request, answer)

    @get("/oauth/client-metadata.json", sync_to_thread=False, include_in_schema=False)
    def document() -> ClientDocument:
        return connect.document()

    return [show, agree, come_back, document]


def _html(text: str, status: int = 200) -> Page:
    return Response(text, status_code=status, media_type=MediaType.HTML, headers=pages.HEADERS)


def _refused(_request: Request[Any, Any, Any], problem: Problem) -> Page:
    return _html(pages.refused(problem), problem.http_status)


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
