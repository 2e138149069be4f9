"""`/consent/REQUEST`: a person decides whether an MCP client may act for them.

The page is shown for every request, whoever agreed to what before. The request is the browser's in which it was begun
(a cookie that only our own origin can set), then the session's that saw it first (authsvc), and the form is that
session's alone; so nobody gets somebody else to answer a request that they began, and no page answers for a person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from litestar import get, post
from litestar.types import ControllerRouterHandler

from callboard.contracts import oauth_subjects
from callboard.contracts.oauth_server import AskConsent, Consent, ConsentDecided, GiveConsent, RefuseConsent
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_edge.auth.logins import Logins
from callboard_edge.web.consent_page import consent_page, failed_page, not_allowed_page
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

BEGUN: Final = "__Host-callboard-consent"
_BEGUN_SECONDS: Final = 900
_REQUEST: Final = re.compile("[A-Za-z0-9_-]{43}")
_MOST: Final = 5
"""Requests that one browser may have open; the oldest is forgotten."""


def begun_cookie(cookies: Mapping[str, str], begun: str) -> str:
    """The Set-Cookie header with which `/authorize` marks the browser in which a request was begun."""
    # Nothing that is not ours goes from the header of a request into one of the answer.
    kept = [each for each in cookies.get(BEGUN, "").split(".") if _REQUEST.fullmatch(each)][-(_MOST - 1) :]
    value = ".".join([*kept, begun])
    return f"{BEGUN}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={_BEGUN_SECONDS}"


class ConsentPages:
    """The handlers, and what they share."""

    def __init__(self, bus: Bus, logins: Logins, public_url: str) -> None:
        self._bus = bus
        self._logins = logins
        self._origin = origin_of(public_url)

    async def show(self, request: AnyRequest, asked: str) -> Page:
        """The page with the question."""
        _require_begun_here(request, asked)
        signed_in = await visitor(self._logins, request)
        if signed_in is None:
            return sent_on(login_for(request))
        question = AskConsent(request=asked, by=signed_in.principal.key_id)
        known = proof(signed_in, asked)
        try:
            found = await self._bus.ask(oauth_subjects.CONSENT, question, Consent)
        except Problem as problem:
            if problem.code != "playbook.unknown":
                raise
            leave = proof(signed_in, SIGN_OUT)
            return html(not_allowed_page(signed_in.person, known, leave, f"/consent/{asked}"), 403)
        return html(consent_page(found, signed_in.person, known))

    async def decide(self, request: AnyRequest, asked: str) -> Page:
        """A button was pressed: back to the client, with a code or an error."""
        require_own_form(request, self._origin)
        _require_begun_here(request, asked)
        signed_in = await self._logins.signed_in(request.cookies)
        fields = await form(request)
        require_proof(fields, signed_in, asked)
        by = signed_in.principal.key_id
        if fields.get("decision") == "allow":
            given = GiveConsent(request=asked, by=by, organisation=fields.get("organisation", ""))
            decided = await self._bus.ask(oauth_subjects.GIVE_CONSENT, given, ConsentDecided)
        else:
            refused = RefuseConsent(request=asked, by=by)
            decided = await self._bus.ask(oauth_subjects.REFUSE_CONSENT, refused, ConsentDecided)
        return sent_on(decided.url)


def consent_routes(bus: Bus, logins: Logins, public_url: str) -> list[ControllerRouterHandler]:
    """The two routes; every refusal is a page."""
    pages = ConsentPages(bus, logins, public_url)
    refusals: dict[int | type[Exception], Any] = {Problem: _refused}

    @get("/consent/{asked:str}", exception_handlers=refusals, include_in_schema=False)
    async def show(request: AnyRequest, asked: str) -> Page:
        return await pages.show(request, asked)

    @post(
        "/consent/{asked:str}",
        exception_handlers=refusals,
        include_in_schema=False,
        request_max_body_size=MAX_FORM,
    )
    async def decide(request: AnyRequest, asked: str) -> Page:
        return await pages.decide(request, asked)

    return [show, decide]


def _require_begun_here(request: AnyRequest, asked: str) -> None:
    if asked not in request.cookies.get(BEGUN, "").split("."):
        raise Problem("consent.unknown", "this request was begun in another browser, or is over")


def _refused(_request: AnyRequest, problem: Problem) -> Page:
    return html(failed_page(problem), problem.http_status)
