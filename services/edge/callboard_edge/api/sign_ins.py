"""Sign-ins to upstream servers: who is signed in, a link for who wants to be, and the end of one."""

from __future__ import annotations

from litestar import delete, get, post

from callboard.contracts import subjects
from callboard.contracts.management import NewSignIn
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import AskSignIns, OpenSignIn, SignInLink, SignIns, UpstreamSignOut
from callboard.kernel.permissions import can
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

_SIGN_INS = "/organisations/{organisation:str}/servers/{name:str}/sign-ins"
_WITHIN = 30.0


@get(_SIGN_INS, summary="List the sign-ins to a server")
async def list_sign_ins(bus: Bus, caller: Caller, organisation: str, name: str) -> SignIns:
    """Without their tokens. An empty subject is what all callers share, and what lists the server's tools."""
    caller.require("read", organisation)
    return await bus.ask(subjects.SIGN_INS, AskSignIns(organisation=organisation, server=name), SignIns)


@post(_SIGN_INS, summary="Make a link with which somebody signs in", response_headers={"Cache-Control": "no-store"})
async def open_sign_in(bus: Bus, caller: Caller, organisation: str, name: str, data: NewSignIn) -> SignInLink:
    """Good for some minutes. `own`: for the calls of the client of this token, else for all callers."""
    _require(caller, organisation, own=data.own)
    subject = caller.principal.client if data.own else ""
    command = OpenSignIn(organisation=organisation, server=name, subject=subject, actor=caller.actor)
    return await bus.ask(subjects.OPEN_SIGN_IN, command, SignInLink, _WITHIN)


@delete(_SIGN_INS, summary="Sign out of a server", status_code=200)
async def sign_out(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, subject: str = "") -> Done:
    """Deletes the tokens of one subject, and has them revoked where the authorization server can."""
    _require(caller, organisation, own=subject == caller.principal.client)
    command = UpstreamSignOut(
        command_id=stamp.command_id(), organisation=organisation, server=name, subject=subject, actor=caller.actor
    )
    return await bus.ask(subjects.UPSTREAM_SIGN_OUT, command, Done, _WITHIN)


def _require(caller: Caller, organisation: str, *, own: bool) -> None:
    """For oneself whoever may use playbooks, for others whoever manages the organisation."""
    if not own:
        caller.require("manage", organisation)
    elif not can(caller.principal, "use", organisation):
        raise Problem("auth.forbidden", f"the token does not allow `use` on {organisation}")


ROUTES = [list_sign_ins, open_sign_in, sign_out]
