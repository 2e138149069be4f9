"""Renew a grant: by one process at a time, whoever else wants it meanwhile, and never over a newer one.

A lease on the row says who does it. Whoever loses it (a crash, a slow answer) is overtaken when it runs out; then the
old refresh token is tried once more, and if the authorization server had exchanged it, the grant is lost and says so.
"""

from __future__ import annotations

import asyncio

from callboard.contracts.definitions import UpstreamOAuth
from callboard.contracts.problems import Problem
from callboard_authsvc.upstream_oauth.clients import given_client
from callboard_authsvc.upstream_oauth.domain import TokenRefused, Whose, failed, granted
from callboard_authsvc.upstream_oauth.ports import Held, SignInDependencies
from callboard_authsvc.upstream_oauth.token_endpoint import Unreachable, tokens_from

LEASE_SECONDS = 15.0
"""More than a token request may take."""
_LOOK_SECONDS = 0.05


async def renewed(whose: Whose, held: Held, oauth: UpstreamOAuth, use: SignInDependencies) -> Held:
    """The grant after this version. `lost` when its refresh token is not accepted any more.

    Raises `server.sign_in_failed` when the authorization server cannot be asked right now.
    """
    async with asyncio.timeout(2 * LEASE_SECONDS):
        while not await use.grants.lease(whose, held.version, LEASE_SECONDS):
            await asyncio.sleep(_LOOK_SECONDS)
            now = await use.grants.find(whose)
            if now is None:
                raise failed("somebody signed out")
            if now.version != held.version or now.lost:
                return now
    return await _exchanged(whose, held, oauth, use)


async def _exchanged(whose: Whose, held: Held, oauth: UpstreamOAuth, use: SignInDependencies) -> Held:
    grant, server = held.grant, held.grant.found.server
    client = grant.client
    if client.origin == "given":
        client = await given_client(whose, server, oauth, use)
    form = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
    if not oauth.omit_resource:
        form["resource"] = grant.found.resource
    try:
        tokens = await tokens_from(
            server.token_endpoint, client, form, use, audience=server.issuer, algorithm=oauth.signing_algorithm
        )
    except TokenRefused as refused:
        if not refused.final:
            await use.grants.release(whose, held.version)
            raise failed(
                f"its authorization server did not renew the token ({refused.code or refused.status})"
            ) from None
        await use.grants.lose(whose, held.version)
        await use.journal.lost(whose)
        return Held(grant, held.version, lost=True)
    except Unreachable as lost:
        await use.grants.release(whose, held.version)
        raise failed(f"its token endpoint {lost}") from None
    except Problem:
        await use.grants.release(whose, held.version)
        raise
    newer = granted(tokens, use.clock(), grant)
    version = await use.grants.keep(whose, newer, over=held.version)
    if version is not None:
        return Held(newer, version)
    # Somebody signed in anew in the meantime: that is the grant.
    return await use.grants.find(whose) or Held(newer, held.version, lost=True)
