"""`/login` and `/logout`: a person comes in with a password or by the identity provider, and goes.

The same login as that of the API (`api/people.py`), as pages that work without a script. Nobody is signed in yet who
could vouch for the form, so it brings the text of a cookie that only our own origin can set (double submit).
"""

from __future__ import annotations

from typing import Any, Final

from litestar import get, post
from litestar.types import ControllerRouterHandler

from callboard.contracts import subjects
from callboard.contracts.people import (
    AskWaysIn,
    ExternalLogin,
    SessionOpened,
    SignIn,
    SignOut,
    StartExternal,
    WaysIn,
)
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_edge.auth.logins import COOKIE, Logins, cookie_of, no_cookie, ticket_cookie
from callboard_edge.auth.next_page import START, next_cookie, own_path
from callboard_edge.web.login_page import sign_in_page, signed_in_page, signed_out_page
from callboard_edge.web.pages import Page, html, problem_page, sent_on
from callboard_edge.web.visitor import (
    MAX_FORM,
    AnyRequest,
    address,
    form,
    form_secret,
    has_form_secret,
    origin_of,
    proof,
    require_own_form,
    require_proof,
    visitor,
)

TOO_OLD: Final = "This form was too old, or the browser keeps no cookies. Please try again."
_WITHIN: Final = 25.0
SIGN_OUT: Final = "sign out"
_NOT_VOUCHED: Final = "Signing in at the identity provider did not work. Please try again."


class Login:
    """The handlers, and what they share."""

    def __init__(self, bus: Bus, logins: Logins, public_url: str) -> None:
        self._bus = bus
        self._logins = logins
        self._origin = origin_of(public_url)

    async def show(self, request: AnyRequest, next_path: str, *, failed: bool) -> Page:
        """The form; for somebody who is signed in already, who that is. `failed`: the identity provider said no."""
        next_path = own_path(next_path)
        signed_in = await visitor(self._logins, request)
        if signed_in is None:
            return await self._form(request, next_path, error=_NOT_VOUCHED if failed else "")
        known = proof(signed_in, SIGN_OUT)
        return html(signed_in_page(signed_in.person, next_path, known, home=next_path == START))

    async def sign_in(self, request: AnyRequest) -> Page:
        """A new session in the place of the one that the browser had, and on to `next`."""
        require_own_form(request, self._origin)
        fields = await form(request)
        next_path = own_path(fields.get("next", ""))
        if not has_form_secret(request, fields):
            return await self._form(request, next_path, fields.get("email", ""), TOO_OLD, 403)
        command = SignIn(
            email=fields.get("email", ""),
            password=fields.get("password", ""),
            address=address(request),
            former=request.cookies.get(COOKIE, ""),
        )
        try:
            opened = await self._bus.ask(subjects.SIGN_IN, command, SessionOpened)
        except Problem as problem:
            return await self._refused(request, problem, next_path, command.email)
        return sent_on(next_path, Set_Cookie=cookie_of(opened.session))

    async def to_provider(self, next_path: str) -> Page:
        """On to the identity provider; `/api/v1/session/external/callback` takes up `next` from the cookie."""
        begun = await self._bus.ask(subjects.START_EXTERNAL, StartExternal(), ExternalLogin, within=_WITHIN)
        return sent_on(begun.url, [next_cookie(next_path)], Set_Cookie=ticket_cookie(begun.ticket))

    async def sign_out(self, request: AnyRequest) -> Page:
        """The session ends, here and on every edge."""
        require_own_form(request, self._origin)
        fields = await form(request)
        signed_in = await visitor(self._logins, request)
        if signed_in is not None:
            require_proof(fields, signed_in, SIGN_OUT)
            await self._bus.ask(subjects.SIGN_OUT, SignOut(session=request.cookies[COOKIE]), Done)
        next_path = own_path(fields.get("next", ""))
        if next_path != START:
            return sent_on(next_path, Set_Cookie=no_cookie())
        return html(signed_out_page(), Set_Cookie=no_cookie())

    async def _refused(self, request: AnyRequest, problem: Problem, next_path: str, email: str) -> Page:
        if problem.code == "login.refused":
            return await self._form(request, next_path, email, "The e-mail address or the password is wrong.", 401)
        if problem.code != "login.too_many":
            raise problem
        wait = problem.data.get("retry_after", 60)
        words = f"There were too many attempts. Try again in {wait} s."
        return await self._form(request, next_path, email, words, 429, Retry_After=str(wait))

    async def _form(
        self, request: AnyRequest, next_path: str, email: str = "", error: str = "", status: int = 200, **headers: str
    ) -> Page:
        ways = await self._bus.ask(subjects.WAYS_IN, AskWaysIn(), WaysIn)
        secret = form_secret(request)
        text = sign_in_page(next_path, secret.value or "", external=ways.external, email=email[:320], error=error)
        return html(text, status, [secret], **headers)


def login_routes(bus: Bus, logins: Logins, public_url: str) -> list[ControllerRouterHandler]:
    """The routes; every refusal is a page."""
    login = Login(bus, logins, public_url)
    refusals: dict[int | type[Exception], Any] = {Problem: _refused}

    @get("/login", exception_handlers=refusals, include_in_schema=False)
    async def show(request: AnyRequest, next: str = "", failed: str = "") -> Page:
        return await login.show(request, next, failed=bool(failed))

    @post("/login", exception_handlers=refusals, include_in_schema=False, request_max_body_size=MAX_FORM)
    async def sign_in(request: AnyRequest) -> Page:
        return await login.sign_in(request)

    @get("/login/external", exception_handlers=refusals, include_in_schema=False)
    async def to_provider(next: str = "") -> Page:
        return await login.to_provider(next)

    @post("/logout", exception_handlers=refusals, include_in_schema=False, request_max_body_size=MAX_FORM)
    async def sign_out(request: AnyRequest) -> Page:
        return await login.sign_out(request)

    return [show, sign_in, to_provider, sign_out]


def _refused(_request: AnyRequest, problem: Problem) -> Page:
    return html(problem_page("Not signed in", problem, _HINTS.get(problem.code, "")), problem.http_status)


_HINTS = {"auth.forbidden": "Open the page again and try once more"}
