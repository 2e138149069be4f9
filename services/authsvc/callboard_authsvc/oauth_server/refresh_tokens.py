"""`grant_type=refresh_token`: each use gives the next one, the same to all who come at the same time.

A refresh token goes on working until the one after it is used, and for a minute more: clients run in several
processes, and lose answers. After that it is a replay: whoever has it, it was replaced, and the grant ends.
"""

from __future__ import annotations

from callboard.contracts.oauth_server import IssuedTokens, RefreshTokens
from callboard.kernel.tokens import REFRESH_PREFIX, compose, key_id_of
from callboard_authsvc.oauth_server.authenticate import authenticated
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.domain import (
    REFRESH_LIFE,
    Grant,
    Refresh,
    check_same_resource,
    is_replay,
    next_random,
    refused,
    scopes_within,
)
from callboard_authsvc.oauth_server.end import end_grant
from callboard_authsvc.oauth_server.tokens import issued
from callboard_authsvc.oauth_server.verify import require_live


async def refresh_tokens(command: RefreshTokens, use: OAuthDependencies) -> IssuedTokens:
    """Raises `oauth.refused`: `invalid_client`, `invalid_grant`, `invalid_scope`, `invalid_target`."""
    client = await authenticated(command.proof, use)
    if key_id_of(command.refresh_token, REFRESH_PREFIX) is None:
        raise _unknown()
    verifier, now = use.verifier.of(command.refresh_token), use.clock()
    found = await use.grants.refresh(verifier)
    if found is None or found.grant.client_id != client.client_id or found.grant.revoked_at is not None:
        raise _unknown()
    if now >= found.expires_at:
        raise _unknown()
    if is_replay(found, now):
        await end_grant(found.grant, "refresh_replayed", client.client_id, use, generation=found.generation)
        raise _unknown()
    scopes = scopes_within(command.scopes, found.grant)
    check_same_resource(use.issuer, command.resource, found.grant)
    await require_live(found.grant, use)
    following = compose(next_random(use.lineage, command.refresh_token), REFRESH_PREFIX)
    await _rotate(verifier, found, use.verifier.of(following), use)
    if client.kind == "dynamic":
        await _end_outgrown(found.grant, use)
    return await issued(found.grant, scopes, use, following)


async def _rotate(presented: bytes, found: Refresh, following: bytes, use: OAuthDependencies) -> None:
    now, gid = use.clock(), found.grant.gid
    async with use.grants.pool.acquire() as connection, connection.transaction():
        await use.grants.use_refresh(connection, presented, now)
        await use.grants.insert_refresh(connection, following, gid, found.generation + 1, now + REFRESH_LIFE)
        await use.grants.used(connection, gid, now)
        await use.clients.used(connection, found.grant.client_id, now)


async def _end_outgrown(grant: Grant, use: OAuthDependencies) -> None:
    """After a step-up its client has no use for the grant before. Not at once: calls of that one may still run.

    Only of a client that registered itself, and so is one installation: one known by its document is on many machines.
    """
    for older in await use.grants.outgrown(grant):
        await end_grant(older, "outgrown", grant.client_id, use)


def _unknown() -> Exception:
    return refused("invalid_grant", "the refresh token is unknown, replaced or over")
