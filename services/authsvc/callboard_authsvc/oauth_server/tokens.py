"""What a client gets in the end: an access token, and where it may refresh, the first of a line of refresh tokens."""

from __future__ import annotations

from callboard.contracts.oauth_server import IssuedTokens
from callboard.kernel.access_tokens import AccessClaims
from callboard.kernel.tokens import base62
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.domain import ACCESS_LIFE, Grant


async def issued(grant: Grant, scopes: tuple[str, ...], use: OAuthDependencies, refresh: str = "") -> IssuedTokens:
    """An access token of this grant with these scopes, and the refresh token that was made for it."""
    now, seconds = int(use.clock().timestamp()), int(ACCESS_LIFE.total_seconds())
    claims = AccessClaims(
        iss=use.issuer,
        sub=grant.member,
        aud=grant.resource,
        exp=now + seconds,
        iat=now,
        jti=base62(use.chance(16), 22),
        client_id=grant.client_id,
        scope=" ".join(scopes),
        org=grant.organisation,
        gid=grant.gid,
    )
    return IssuedTokens(access_token=await use.mint(claims), expires_in=seconds, scopes=scopes, refresh_token=refresh)
