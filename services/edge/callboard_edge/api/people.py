"""Who one is: sign in and out, `me`, passwords, and the use of invitations."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, delete, get, post, put
from litestar.params import Parameter

from callboard.contracts import subjects
from callboard.contracts.access import Principal
from callboard.contracts.people import (
    AcceptInvitation,
    ChangePassword,
    ExternalLogin,
    FinishExternal,
    Joined,
    OfferReset,
    Register,
    RenewSession,
    ResetOffered,
    ResetPassword,
    SessionOpened,
    SignedIn,
    SignIn,
    SignOut,
    StartExternal,
)
from callboard.contracts.people_management import (
    Credentials,
    InvitationLink,
    Me,
    NewPassword,
    Registration,
    ResetBy,
    ResetFor,
)
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp
from callboard_edge.auth.logins import (
    COOKIE,
    TICKET,
    Logins,
    cookie_of,
    no_cookie,
    require_csrf,
    require_own_page,
    ticket_cookie,
)
from callboard_edge.auth.next_page import NEXT, START, no_next_cookie, own_path

AnyRequest = Request[Any, Any, Any]
# A parameter called `state` would be that of Litestar.
FromQuery = Annotated[str, Parameter(query="state")]
_NOT_STORED: Final = {"Cache-Control": "no-store"}


@post("/session", summary="Sign in", status_code=200)
async def sign_in(bus: Bus, request: AnyRequest, data: Credentials) -> Response[Me]:
    """Sets the cookie of a new session; the one that the browser had ends."""
    require_own_page(request.method, request.headers)
    command = SignIn(
        email=data.email, password=data.password, address=_address(request), former=request.cookies.get(COOKIE, "")
    )
    return _opened(await bus.ask(subjects.SIGN_IN, command, SessionOpened))


@get("/session/external", summary="Sign in at the identity provider", status_code=302)
async def start_external(bus: Bus) -> Response[None]:
    """Sends the browser there; only this browser can come back from it."""
    begun = await bus.ask(subjects.START_EXTERNAL, StartExternal(), ExternalLogin, within=25.0)
    headers = {**_NOT_STORED, "Location": begun.url, "Set-Cookie": ticket_cookie(begun.ticket)}
    return Response(None, status_code=302, headers=headers, cookies=[no_next_cookie()])


@get("/session/external/callback", summary="Come back from the identity provider")
async def finish_external(
    bus: Bus, request: AnyRequest, oidc_state: FromQuery = "", code: str = "", iss: str = ""
) -> Response[Any]:
    """Sets the cookie of a new session; who came from the login page goes on from there."""
    command = FinishExternal(
        ticket=request.cookies.get(TICKET, ""),
        state=oidc_state,
        code=code,
        iss=iss,
        former=request.cookies.get(COOKIE, ""),
        address=_address(request),
    )
    next_path = request.cookies.get(NEXT, "")
    try:
        opened = await bus.ask(subjects.FINISH_EXTERNAL, command, SessionOpened, within=25.0)
    except Problem:
        if not next_path:
            raise
        return _gone_on(f"{START}?{urlencode({'failed': 1, 'next': own_path(next_path)})}")
    return _gone_on(own_path(next_path), cookie_of(opened.session)) if next_path else _opened(opened)


@post("/session/renew", summary="Exchange the session", status_code=200)
async def renew_session(bus: Bus, logins: Logins, request: AnyRequest) -> Response[Me]:
    """The same person with another cookie."""
    await _of_cookie(logins, request)
    return _opened(await bus.ask(subjects.RENEW_SESSION, RenewSession(session=request.cookies[COOKIE]), SessionOpened))


@delete("/session", summary="Sign out", status_code=200)
async def sign_out(bus: Bus, logins: Logins, request: AnyRequest, everywhere: bool = False) -> Response[Done]:
    """Ends this session, or every session of the person."""
    await _of_cookie(logins, request)
    command = SignOut(session=request.cookies[COOKIE], everywhere=everywhere)
    done = await bus.ask(subjects.SIGN_OUT, command, Done)
    return Response(done, headers={**_NOT_STORED, "Set-Cookie": no_cookie()})


@get("/me", summary="Who am I", response_headers=_NOT_STORED)
async def me(caller: Caller) -> Me:
    """What the token or the session stands for, and what it may do where."""
    return _me(caller.principal, caller.signed_in)


@put("/me/password", summary="Change the password")
async def change_password(bus: Bus, logins: Logins, request: AnyRequest, data: NewPassword) -> Response[Me]:
    """Every other session of the person ends, and this one is exchanged."""
    await _of_cookie(logins, request)
    command = ChangePassword(
        session=request.cookies[COOKIE], current=data.current, password=data.password, address=_address(request)
    )
    return _opened(await bus.ask(subjects.CHANGE_PASSWORD, command, SessionOpened))


@post("/password-resets", summary="Make a link to set another password", response_headers=_NOT_STORED)
async def offer_reset(bus: Bus, caller: Caller, data: ResetFor) -> ResetOffered:
    """For administrators, who pass it on. The only time its token is shown."""
    caller.require_administrator()
    return await bus.ask(subjects.OFFER_RESET, OfferReset(email=data.email, actor=caller.actor), ResetOffered)


@post("/password-resets/use", summary="Set another password by a link", status_code=200)
async def reset_password(bus: Bus, request: AnyRequest, data: ResetBy) -> Done:
    """Once; every session of the person ends."""
    require_own_page(request.method, request.headers)
    command = ResetPassword(token=data.token, password=data.password, address=_address(request))
    return await bus.ask(subjects.RESET_PASSWORD, command, Done)


@post("/people", summary="Become a person by an invitation", status_code=201)
async def register(bus: Bus, request: AnyRequest, stamp: Stamp, data: Registration) -> Response[Me]:
    """Joins the organisation of the invitation and signs in."""
    require_own_page(request.method, request.headers)
    command = Register(
        command_id=stamp.command_id(data.command_id),
        token=data.token,
        email=data.email,
        password=data.password,
        name=data.name,
        address=_address(request),
    )
    return _opened(await bus.ask(subjects.REGISTER, command, SessionOpened), 201)


@post("/invitations/accept", summary="Use an invitation", status_code=200)
async def accept_invitation(
    bus: Bus, logins: Logins, request: AnyRequest, stamp: Stamp, data: InvitationLink
) -> Joined:
    """For a person who is signed in."""
    await _of_cookie(logins, request)
    command = AcceptInvitation(
        command_id=stamp.command_id(data.command_id), token=data.token, session=request.cookies[COOKIE]
    )
    return await bus.ask(subjects.ACCEPT_INVITATION, command, Joined)


async def _of_cookie(logins: Logins, request: AnyRequest) -> SignedIn:
    """What only a browser session may do: a token is not enough."""
    signed_in = await logins.signed_in(request.cookies)
    require_csrf(request.method, request.headers, signed_in)
    return signed_in


def _opened(opened: SessionOpened, status: int = 200) -> Response[Me]:
    body = _me(opened.signed_in.principal, opened.signed_in)
    headers = {**_NOT_STORED, "Set-Cookie": cookie_of(opened.session)}
    return Response(body, status_code=status, headers=headers)


def _gone_on(path: str, cookie: str = "") -> Response[None]:
    headers = {**_NOT_STORED, "Location": path} | ({"Set-Cookie": cookie} if cookie else {})
    return Response(None, status_code=303, headers=headers, cookies=[no_next_cookie()])


def _me(principal: Principal, signed_in: SignedIn | None) -> Me:
    named = principal.organisation not in ("", "*")
    own = {principal.organisation: principal.scopes} if principal.grants is None and named else {}
    return Me(
        client=principal.client,
        key_id=principal.key_id,
        administers=Caller(principal).administers,
        organisations=principal.grants if principal.grants is not None else own,
        scopes=principal.scopes,
        playbooks=principal.playbooks,
        person=signed_in.person if signed_in is not None else None,
        csrf=signed_in.csrf if signed_in is not None else "",
        expires_at=signed_in.expires_at if signed_in is not None else principal.expires_at,
    )


def _address(request: AnyRequest) -> str:
    if request.client is None:
        raise Problem("internal.unexpected", "a request without an address")
    return request.client.host


ROUTES = [
    sign_in,
    start_external,
    finish_external,
    renew_session,
    sign_out,
    me,
    change_password,
    offer_reset,
    reset_password,
    register,
    accept_invitation,
]
