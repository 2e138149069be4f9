"""Tokens that nobody has to consent to: client credentials, a workload's identity, an enterprise's assertion.

Sources: RFC 6749 section 4.4, RFC 7523, RFC 8693; the MCP extensions for client credentials (SEP-1046), enterprise-
managed authorization (SEP-990) and workload identity (SEP-1933). A refusal is final: no second try, no other grant.
"""

from __future__ import annotations

import msgspec

from callboard.contracts.definitions import IdentityProvider, SecretRef, UpstreamOAuth
from callboard_authsvc.upstream_oauth.clients import given_client
from callboard_authsvc.upstream_oauth.discover import discover
from callboard_authsvc.upstream_oauth.domain import (
    Challenge,
    Client,
    Discovered,
    Grant,
    TokenRefused,
    Whose,
    failed,
    granted,
    wanted_scope,
)
from callboard_authsvc.upstream_oauth.ports import SignInDependencies
from callboard_authsvc.upstream_oauth.token_endpoint import Unreachable, tokens_from

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"


async def obtain(
    whose: Whose, url: str, oauth: UpstreamOAuth, challenge: Challenge, before: str, use: SignInDependencies
) -> Grant:
    """A new grant. Raises `server.sign_in_failed`, `secret.unknown`."""
    found = await discover(url, challenge, oauth, use.fetch)
    scope = wanted_scope(challenge, found, oauth.scopes, before)
    client = await given_client(whose, found.server, oauth, use)
    try:
        form = await _form(whose, found, oauth, use)
        if scope:
            form["scope"] = scope
        if not oauth.omit_resource:
            form["resource"] = found.resource
        tokens = await tokens_from(
            found.server.token_endpoint,
            client,
            form,
            use,
            audience=found.server.issuer,
            algorithm=oauth.signing_algorithm,
        )
    except TokenRefused as refused:
        raise failed(f"its authorization server gave no token ({refused.code or refused.status})") from None
    except Unreachable as lost:
        raise failed(f"its token endpoint {lost}") from None
    kept = msgspec.structs.replace(client, secret="")
    grant = Grant(access_token="", requested=scope, scope=scope, url=url, found=found, client=kept)
    # A refresh token has no use where a new token can be had without anybody's consent.
    return granted(msgspec.structs.replace(tokens, refresh_token=None), use.clock(), grant)


async def _form(whose: Whose, found: Discovered, oauth: UpstreamOAuth, use: SignInDependencies) -> dict[str, str]:
    match oauth.grant:
        case "workload":
            return {"grant_type": _JWT_BEARER, "assertion": await _assertion(whose, oauth, use)}
        case "enterprise":
            return {"grant_type": _JWT_BEARER, "assertion": await _exchanged(whose, found, oauth, use)}
        case _:
            return {"grant_type": "client_credentials"}


async def _exchanged(whose: Whose, found: Discovered, oauth: UpstreamOAuth, use: SignInDependencies) -> str:
    """The identity provider's assertion for this server, in exchange for the identity (leg one of SEP-990)."""
    provider = oauth.identity_provider
    if provider is None:
        raise failed("its definition names no `identity_provider`")
    form = {
        "grant_type": _EXCHANGE,
        "requested_token_type": _ID_JAG,
        "audience": found.server.issuer,
        "resource": found.resource,
        "subject_token": await _assertion(whose, oauth, use),
        "subject_token_type": provider.subject_token_type,
    }
    client = await _client_there(whose, provider, use)
    return (await tokens_from(provider.token_endpoint, client, form, use, kind="n_a")).access_token


async def _client_there(whose: Whose, provider: IdentityProvider, use: SignInDependencies) -> Client:
    if provider.client_secret is None:
        return Client(client_id=provider.client_id, method="none", origin="given")
    secret = await use.secrets.value(whose.organisation, provider.client_secret.secret)
    return Client(client_id=provider.client_id, method="client_secret_basic", origin="given", secret=secret)


async def _assertion(whose: Whose, oauth: UpstreamOAuth, use: SignInDependencies) -> str:
    if not isinstance(oauth.assertion, SecretRef):
        raise failed("its definition names no `assertion`")
    return await use.secrets.value(whose.organisation, oauth.assertion.secret)
