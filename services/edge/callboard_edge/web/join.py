"""`/join?invitation=TOKEN`: somebody uses an invitation, as a new person or as the one who is signed in.

The token stands in the query because it works once; the page tells it to nobody (`Referrer-Policy`).
"""

from __future__ import annotations

from typing import Any, Final

from litestar import get, post
from litestar.types import ControllerRouterHandler

from callboard.contracts import subjects
from callboard.contracts.people import AcceptInvitation, Joined, Register, SessionOpened, SignedIn
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard.platform.event_store import new_id
from callboard_edge.auth.logins import COOKIE, Logins, cookie_of
from callboard_edge.auth.next_page import START
from callboard_edge.web.join_page import accept_page, failed_page, joined_page, register_page
from callboard_edge.web.login import SIGN_OUT, TOO_OLD
from callboard_edge.web.pages import Page, html, sent_on, sentence
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

_MENDED_IN_THE_FORM: Final = frozenset({"argument.invalid", "person.exists", "login.too_many"})
_MAX_TOKEN: Final = 200


class Join:
    """The handlers, and what they share."""

    def __init__(self, bus: Bus, logins: Logins, public_url: str) -> None:
        self._bus = bus
        self._logins = logins
        self._origin = origin_of(public_url)

    async def show(self, request: AnyRequest, invitation: str) -> Page:
        """The form, or the question whether to join as who is signed in."""
        invitation = invitation[:_MAX_TOKEN]
        signed_in = await visitor(self._logins, request)
        if signed_in is None:
            return _form(request, {"invitation": invitation})
        known = proof(signed_in, invitation)
        return html(accept_page(invitation, signed_in.person, known, proof(signed_in, SIGN_OUT)))

    async def join(self, request: AnyRequest) -> Page:
        """A button was pressed."""
        require_own_form(request, self._origin)
        fields = await form(request)
        signed_in = await visitor(self._logins, request)
        if signed_in is not None:
            return await self._accepted(request, fields, signed_in)
        if not has_form_secret(request, fields):
            return _form(request, fields, TOO_OLD, 403)
        command = Register(
            command_id=new_id(),
            token=fields.get("invitation", ""),
            email=fields.get("email", ""),
            password=fields.get("password", ""),
            name=fields.get("name", ""),
            address=address(request),
        )
        try:
            opened = await self._bus.ask(subjects.REGISTER, command, SessionOpened)
        except Problem as problem:
            if problem.code not in _MENDED_IN_THE_FORM:
                raise
            return _form(request, fields, sentence(problem.message), problem.http_status)
        return sent_on(START, Set_Cookie=cookie_of(opened.session))

    async def _accepted(self, request: AnyRequest, fields: dict[str, str], signed_in: SignedIn) -> Page:
        invitation = fields.get("invitation", "")
        require_proof(fields, signed_in, invitation)
        command = AcceptInvitation(command_id=new_id(), token=invitation, session=request.cookies[COOKIE])
        return html(joined_page(await self._bus.ask(subjects.ACCEPT_INVITATION, command, Joined)))


def join_routes(bus: Bus, logins: Logins, public_url: str) -> list[ControllerRouterHandler]:
    """The two routes; every refusal is a page."""
    join = Join(bus, logins, public_url)
    refusals: dict[int | type[Exception], Any] = {Problem: _refused}

    @get("/join", exception_handlers=refusals, include_in_schema=False)
    async def show(request: AnyRequest, invitation: str = "") -> Page:
        return await join.show(request, invitation)

    @post("/join", exception_handlers=refusals, include_in_schema=False, request_max_body_size=MAX_FORM)
    async def use(request: AnyRequest) -> Page:
        return await join.join(request)

    return [show, use]


def _form(request: AnyRequest, fields: dict[str, str], error: str = "", status: int = 200) -> Page:
    secret = form_secret(request)
    text = register_page(
        fields.get("invitation", "")[:_MAX_TOKEN],
        secret.value or "",
        email=fields.get("email", "")[:320],
        name=fields.get("name", "")[:100],
        error=error,
    )
    return html(text, status, [secret])


def _refused(_request: AnyRequest, problem: Problem) -> Page:
    return html(failed_page(problem), problem.http_status)
