"""Who Callboard is at an authorization server: given by an operator, else its metadata document, else registered."""

from __future__ import annotations

import msgspec

from callboard.contracts.definitions import UpstreamOAuth
from callboard.platform.egress import EgressRefused, FetchFailed
from callboard_authsvc.upstream_oauth.domain import (
    AuthMethod,
    Client,
    Discovered,
    ServerMetadata,
    Whose,
    auth_method,
    client_of,
    failed,
    registration,
)
from callboard_authsvc.upstream_oauth.ports import SignInDependencies

_JSON = {"Content-Type": "application/json"}


async def client_for(
    whose: Whose, found: Discovered, oauth: UpstreamOAuth, scope: str, use: SignInDependencies
) -> Client:
    """The client to be there; registers when there is no other way. Raises `server.sign_in_failed`.

    What was registered at one issuer is never used at another.
    """
    if oauth.client_id:
        return await given_client(whose, found.server, oauth, use)
    if use.here.document and found.server.client_id_metadata_document_supported:
        return Client(client_id=use.here.document, method="none", origin="document")
    issuer = found.server.issuer
    known = await use.clients.find(whose.organisation, issuer)
    if known is not None and not 0 < known.expires_at <= use.clock():
        return known
    client = await _registered(found.server, scope, use)
    await use.clients.keep(whose.organisation, issuer, client)
    return client


async def given_client(whose: Whose, server: ServerMetadata, oauth: UpstreamOAuth, use: SignInDependencies) -> Client:
    """The client of the definition, with its secret as it is in the vault now."""
    method: AuthMethod
    if oauth.private_key is not None:
        secret, method = await use.secrets.value(whose.organisation, oauth.private_key.secret), "private_key_jwt"
    elif oauth.client_secret is not None:
        secret = await use.secrets.value(whose.organisation, oauth.client_secret.secret)
        method = auth_method(server, secret=True)
    else:
        secret, method = "", "none"
    return Client(client_id=oauth.client_id, method=method, origin="given", secret=secret)


async def _registered(server: ServerMetadata, scope: str, use: SignInDependencies) -> Client:
    if not server.registration_endpoint:
        raise failed("its authorization server wants clients that it knows; give `client_id` in its definition")
    body = registration(server, use.here.name, use.here.redirect_uri, scope)
    try:
        answer = await use.fetch("POST", server.registration_endpoint, _JSON, msgspec.json.encode(body))
    except (EgressRefused, FetchFailed) as error:
        raise failed(f"its registration endpoint: {error}") from None
    if answer.status not in (200, 201):
        raise failed(f"its authorization server refused to register Callboard (HTTP {answer.status})")
    return client_of(answer.body, str(body["token_endpoint_auth_method"]))
