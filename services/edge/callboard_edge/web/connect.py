"""Where somebody signs in to an upstream server: `/connect/HANDLE`, and `/oauth/callback` where the browser comes back.

The link says for whom it is, and only that person, signed in to Callboard, may follow it (authsvc decides); the cookie
says which browser agreed, and only that one may come back, in the same session. A page elsewhere cannot agree in its
place.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.datastructures import Cookie
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler

from callboard.contracts import subjects
from callboard.contracts.people import SignedIn
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
from callboard_edge.auth.logins import Logins
from callboard_edge.web.connect_page import agree_page, done_page, failed_page, other_person_page
from callboard_edge.web.login import SIGN_OUT
from callboard_edge.web.pages import Page, html, sent_on
from callboard_edge.web.visitor import (
    MAX_FORM,
    AnyRequest,
    form,
    login_for,
    origin_of,
    proof,
    require_own_form,
    require_proof,
    visitor,
)

_FLOW_SECONDS = 900
_WITHIN = 60.0  # authorization servers may take their time, three or four times in a row
Text = str | None


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

    def __init__(self, bus: Bus, logins: Logins, public_url: str) -> None:
        self._bus = bus
        self._logins = logins
        self._root = public_url.rstrip("/")
        self._origin = origin_of(self._root)
        self._secure = self._origin.startswith("https:")
        # The prefix keeps other hosts of the same site from planting one; browsers take it over https only.
        self._cookie = "__Host-callboard-connect" if self._secure else "callboard-connect"

    async def show(self, request: AnyRequest, handle: str) -> Page:
        """The page with the button."""
        signed_in = await visitor(self._logins, request)
        if signed_in is None:
            return sent_on(login_for(request))
        question = AskSignIn(handle=handle, person=signed_in.person.person)
        try:
            found = await self._bus.ask(subjects.UPSTREAM_SIGN_IN, question, UpstreamSignIn)
        except Problem as problem:
            if problem.code != "auth.forbidden":
                raise
            return html(other_person_page(signed_in.person, proof(signed_in, SIGN_OUT), f"/connect/{handle}"), 403)
        return html(agree_page(found, signed_in.person, proof(signed_in, handle)))

    async def agree(self, request: AnyRequest, handle: str) -> Page:
        """The button was pressed: on to the authorization server."""
        require_own_form(request, self._origin)
        signed_in = await self._logins.signed_in(request.cookies)
        require_proof(await form(request), signed_in, handle)
        key = secrets.token_urlsafe(32)
        command = BeginSignIn(handle=handle, browser=_bound(key, signed_in), person=signed_in.person.person)
        begun = await self._bus.ask(subjects.BEGIN_SIGN_IN, command, SignInBegun, _WITHIN)
        cookie = Cookie(
            self._cookie, value=key, max_age=_FLOW_SECONDS, secure=self._secure, httponly=True, samesite="lax"
        )
        return sent_on(begun.url, [cookie])

    async def come_back(self, request: AnyRequest, answer: FinishSignIn) -> Page:
        """The authorization server sent the browser back."""
        signed_in = await self._logins.signed_in(request.cookies)
        key = request.cookies.get(self._cookie, "")
        browser = _bound(key, signed_in) if key else ""
        finish = msgspec.structs.replace(answer, browser=browser, person=signed_in.person.person)
        return html(done_page(await self._bus.ask(subjects.FINISH_SIGN_IN, finish, SignInFinished, _WITHIN)))

    def document(self) -> ClientDocument:
        """Who Callboard is."""
        return ClientDocument(
            client_id=f"{self._root}/oauth/client-metadata.json", redirect_uris=(f"{self._root}/oauth/callback",)
        )


def connect_routes(bus: Bus, logins: Logins, public_url: str) -> list[ControllerRouterHandler]:
    """The four routes; every refusal is a page."""
    connect = Connect(bus, logins, public_url)
    refusals: dict[int | type[Exception], Any] = {Problem: _refused}

    @get("/connect/{handle:str}", exception_handlers=refusals, include_in_schema=False)
    async def show(request: AnyRequest, handle: str) -> Page:
        return await connect.show(request, handle)

    @post(
        "/connect/{handle:str}",
        exception_handlers=refusals,
        include_in_schema=False,
        request_max_body_size=MAX_FORM,
    )
    async def agree(request: AnyRequest, handle: str) -> Page:
        return await connect.agree(request, handle)

    @get("/oauth/callback", exception_handlers=refusals, include_in_schema=False)
    async def come_back(
        request: AnyRequest,
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


def _refused(_request: AnyRequest, problem: Problem) -> Page:
    return html(failed_page(problem), problem.http_status)


def _bound(key: str, signed_in: SignedIn) -> str:
    """This browser in this session, as a text that tells neither."""
    return hashlib.sha256(f"{signed_in.principal.key_id}/{key}".encode()).hexdigest()
