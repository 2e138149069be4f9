"""`grant_type=authorization_code`: once. Whoever comes second with a code ends the grant, whoever it is."""

from __future__ import annotations

from callboard.contracts.oauth_server import ExchangeCode, IssuedTokens
from callboard.kernel.tokens import REFRESH_PREFIX, compose
from callboard_authsvc.oauth_server.authenticate import authenticated
from callboard_authsvc.oauth_server.client import Client
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.domain import (
    REFRESH_LIFE,
    Code,
    check_code,
    check_same_resource,
    unknown_code,
)
from callboard_authsvc.oauth_server.end import end_grant
from callboard_authsvc.oauth_server.tokens import issued
from callboard_authsvc.oauth_server.verify import require_live


async def exchange_code(command: ExchangeCode, use: OAuthDependencies) -> IssuedTokens:
    """Raises `oauth.refused`: `invalid_client`, `invalid_grant`, `invalid_target`."""
    client = await authenticated(command.proof, use)
    verifier = use.verifier.of(command.code)
    code = await use.grants.code(verifier)
    if code is None or code.grant.client_id != client.client_id:
        raise unknown_code()
    if code.spent_at is not None:
        raise await _replayed(code, use)
    check_code(code, client.client_id, command.redirect_uri, command.verifier, use.clock())
    check_same_resource(use.issuer, command.resource, code.grant)
    await require_live(code.grant, use)
    refresh = await _spend(verifier, code, client, use)
    return await issued(code.grant, code.grant.scopes, use, refresh)


async def _spend(verifier: bytes, code: Code, client: Client, use: OAuthDependencies) -> str:
    """The first refresh token of the grant, empty for a client that does not refresh."""
    now, gid = use.clock(), code.grant.gid
    refresh = compose(use.chance(40), REFRESH_PREFIX) if "refresh_token" in client.grant_types else ""
    async with use.grants.pool.acquire() as connection, connection.transaction():
        spent = await use.grants.spend(connection, verifier, now)
        if spent and refresh:
            await use.grants.insert_refresh(connection, use.verifier.of(refresh), gid, 0, now + REFRESH_LIFE)
        if spent:
            await use.grants.used(connection, gid, now)
            await use.clients.used(connection, client.client_id, now)
    if not spent:
        raise await _replayed(code, use)
    return refresh


async def _replayed(code: Code, use: OAuthDependencies) -> Exception:
    await end_grant(code.grant, "code_replayed", code.grant.client_id, use)
    return unknown_code()
