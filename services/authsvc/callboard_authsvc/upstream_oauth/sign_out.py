"""Forget the tokens of a grant; the authorization server is told as well as that goes (RFC 7009)."""

from __future__ import annotations

from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import UpstreamSignOut
from callboard_authsvc.upstream_oauth.domain import Grant, TokenRefused, Whose
from callboard_authsvc.upstream_oauth.ports import SignInDependencies
from callboard_authsvc.upstream_oauth.token_endpoint import Unreachable, tokens_from


async def sign_out(command: UpstreamSignOut, use: SignInDependencies) -> Done:
    """Raises `sign_in.unknown` when there is no such grant."""
    whose = Whose(command.organisation, command.server, command.subject)
    held = await use.grants.find(whose)
    if held is None:
        raise Problem("sign_in.unknown", f"nobody is signed in to server {whose.server!r} as {whose.subject or 'all'}")
    seq = await use.journal.signed_out(command, whose)
    await _revoked(held.grant, use)
    return Done(seq=seq)


async def _revoked(grant: Grant, use: SignInDependencies) -> None:
    endpoint = grant.found.server.revocation_endpoint
    if not endpoint or grant.client.origin == "given":
        return
    form = {"token": grant.refresh_token or grant.access_token}
    try:
        await tokens_from(endpoint, grant.client, form, use, audience=grant.found.server.issuer)
    except (TokenRefused, Unreachable, Problem):
        return  # it answers with nothing at all when it did it; here the tokens are gone in any case
