"""A person agreed to sign in: find the authorization server, be somebody there, park the flow, send the browser on."""

from __future__ import annotations

import base64

from callboard.contracts.definitions import ServerDefinition, UpstreamOAuth
from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import AskSignIn, BeginSignIn, SignInBegun, UpstreamSignIn
from callboard_authsvc.upstream_oauth.clients import client_for
from callboard_authsvc.upstream_oauth.discover import discover
from callboard_authsvc.upstream_oauth.domain import (
    Challenge,
    Flow,
    Whose,
    authorize_url,
    check_usable,
    failed,
    wanted_scope,
)
from callboard_authsvc.upstream_oauth.ports import SignInDependencies
from callboard_authsvc.upstream_oauth.standing import require_standing

UNKNOWN = "this link is not valid (any more); make the call again, or ask for another link"


async def show_sign_in(question: AskSignIn, use: SignInDependencies) -> UpstreamSignIn:
    """What the person is asked to agree to. Raises `sign_in.unknown`, `auth.forbidden` for somebody else's link."""
    whose, challenge = await _link(question.handle, question.person, use)
    definition, oauth = await definition_of(whose, use)
    scopes = oauth.scopes if challenge.scope is None else tuple(challenge.scope.split())
    return UpstreamSignIn(
        organisation=whose.organisation,
        server=whose.server,
        subject=whose.subject,
        server_url=definition.url or "",
        scopes=scopes,
    )


async def begin_sign_in(command: BeginSignIn, use: SignInDependencies) -> SignInBegun:
    """Raises `sign_in.unknown`, `auth.forbidden`, `server.sign_in_failed`."""
    whose, challenge = await _link(command.handle, command.person, use)
    definition, oauth = await definition_of(whose, use)
    url = definition.url or ""
    found = await discover(url, challenge, oauth, use.fetch)
    check_usable(found.server, url)
    held = await use.grants.find(whose)
    if held is not None and oauth.client_id and held.grant.found.server.issuer != found.server.issuer:
        raise failed("it has another authorization server now, at which its `client_id` may be somebody else's")
    before = "" if held is None else held.grant.requested
    scope = wanted_scope(challenge, found, oauth.scopes, before)
    flow = Flow(
        whose=whose,
        url=url,
        found=found,
        client=await client_for(whose, found, oauth, scope, use),
        verifier=_text(use.chance(48)),
        scope=scope,
        redirect_uri=use.here.redirect_uri,
        browser=command.browser,
        person=command.person,
    )
    state = _text(use.chance(32))
    if not await use.sign_ins.park(command.handle, state, flow):
        raise Problem("sign_in.unknown", UNKNOWN)
    return SignInBegun(url=authorize_url(flow, state, resource=not oauth.omit_resource))


async def _link(handle: str, person: str, use: SignInDependencies) -> tuple[Whose, Challenge]:
    link = await use.sign_ins.look(handle)
    if link is None:
        raise Problem("sign_in.unknown", UNKNOWN)
    await require_standing(link[0], person, use.standings)
    return link


async def definition_of(whose: Whose, use: SignInDependencies) -> tuple[ServerDefinition, UpstreamOAuth]:
    """How the server is defined now; raises `server.unknown`, `server.sign_in_failed`."""
    definition = await use.servers.definition(whose.organisation, whose.server)
    if definition is None:
        raise Problem("server.unknown", f"server {whose.server!r} is not registered", server=whose.server)
    if definition.oauth is None:
        raise failed("its definition does not say that it is signed in to with OAuth")
    if whose.subject and definition.oauth.credentials == "shared":
        raise failed("its definition says that all callers share one sign-in")
    return definition, definition.oauth


def _text(random: bytes) -> str:
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode()
