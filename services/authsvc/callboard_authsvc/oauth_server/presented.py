"""Tokens that somebody presents to have them revoked (RFC 7009) or explained (RFC 7662)."""

from __future__ import annotations

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from callboard.contracts.oauth_server import Introspect, Introspection, RevokePresented
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.kernel.access_tokens import ALGORITHM, TOKEN_TYPE, AccessClaims, check_claims
from callboard.kernel.permissions import can
from callboard.kernel.tokens import REFRESH_PREFIX, key_id_of
from callboard_authsvc.oauth_server.authenticate import authenticated
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.domain import Grant
from callboard_authsvc.oauth_server.end import end_grant
from callboard_authsvc.oauth_server.verify import principal_of_grant


async def revoke_presented(command: RevokePresented, use: OAuthDependencies) -> Done:
    """Ends the grant of the token, if it is this client's. Raises `oauth.refused` with `invalid_client`."""
    client = await authenticated(command.proof, use)
    grant, _ = await _behind(command.token, use)
    if grant is None or grant.client_id != client.client_id:
        return Done(seq=0)
    return Done(seq=await end_grant(grant, "client", f"{grant.member}/{client.client_id}", use))


async def introspect(question: Introspect, use: OAuthDependencies) -> Introspection:
    """Raises `auth.invalid` for a caller that is nobody; what it may not know is not active."""
    caller = await use.rights.of(question.by)
    grant, claims = await _behind(question.token, use)
    if grant is None or grant.revoked_at is not None or not grant.organisation:
        return Introspection(active=False)
    if caller is not None and (caller.playbooks or not can(caller, "token:manage", grant.organisation)):
        return Introspection(active=False)
    if await principal_of_grant(grant, use) is None:
        return Introspection(active=False)
    return Introspection(
        active=True,
        client_id=grant.client_id,
        subject=grant.member,
        audience=grant.resource,
        scopes=tuple(claims.scope.split()) if claims is not None else grant.scopes,
        expires_at=claims.exp if claims is not None else 0,
        issued_at=claims.iat if claims is not None else 0,
        organisation=grant.organisation,
        grant=grant.gid,
    )


async def _behind(token: str, use: OAuthDependencies) -> tuple[Grant | None, AccessClaims | None]:
    """The grant of a refresh token or an access token, and what the latter says; none for anything else."""
    if key_id_of(token, REFRESH_PREFIX) is not None:
        refresh = await use.grants.refresh(use.verifier.of(token))
        good = refresh is not None and use.clock() < refresh.expires_at
        return (refresh.grant if refresh is not None and good else None), None
    claims = await _claims(token, use)
    return (None if claims is None else await use.grants.find(claims.gid)), claims


async def _claims(token: str, use: OAuthDependencies) -> AccessClaims | None:
    rows = await use.signing_keys.all()
    keys = KeySet(
        [
            ECKey.import_key({"kty": "EC", "crv": "P-256", "x": row.x, "y": row.y, "kid": row.kid, "use": "sig"})
            for _, row in rows
        ]
    )
    try:
        signed = jwt.decode(token, keys, algorithms=[ALGORITHM])
        claims = msgspec.convert(signed.claims, AccessClaims)
        check_claims(claims, use.issuer, use.clock().timestamp())
    except (JoseError, ValueError, msgspec.ValidationError, Problem):
        return None
    return claims if signed.header.get("typ") == TOKEN_TYPE else None
