"""An authorization request: checked once more, and kept until a person decides."""

from __future__ import annotations

import base64
from typing import Final

from callboard.contracts.oauth_server import AuthorizationBegun, BeginAuthorization
from callboard.kernel.redirect_uris import fault_of
from callboard_authsvc.oauth_server.client import has_redirect_uri
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.domain import (
    REQUEST_LIFE,
    Request,
    check_challenge,
    check_scopes,
    place_of,
    refused,
    scopes_wanted,
)
from callboard_authsvc.oauth_server.find_client import client_of
from callboard_authsvc.oauth_server.limit import limit

_MAX_STATE: Final = 4096
REQUESTS: Final = 300
"""Of one address, within a quarter of an hour."""


async def begin_authorization(command: BeginAuthorization, use: OAuthDependencies) -> AuthorizationBegun:
    """Raises `oauth.refused` (`invalid_client`, `invalid_request`, `_scope`, `_target`) or `oauth.too_many`."""
    await limit("oauth request", command.address, REQUESTS, use)
    client = await client_of(command.client_id, use, command.address, stale=True)
    if fault_of(command.redirect_uri, use.private_uris) is not None or not has_redirect_uri(
        client, command.redirect_uri
    ):
        raise refused("invalid_request", "the redirect URI is not one of the client's")
    if "authorization_code" not in client.grant_types:
        raise refused("unauthorized_client", "the client does not use codes")
    check_challenge(command.challenge)
    check_scopes(command.scopes)
    if command.state is not None and len(command.state) > _MAX_STATE:
        raise refused("invalid_request", f"state: use at most {_MAX_STATE} characters")
    place = place_of(use.issuer, command.resource)
    now = use.clock()
    request = Request(
        client_id=client.client_id,
        redirect_uri=command.redirect_uri,
        named=command.named,
        state=command.state,
        challenge=command.challenge,
        scopes=scopes_wanted(command.scopes),
        resource=place.resource if command.resource else "",
        expires_at=now + REQUEST_LIFE,
    )
    request_id = base64.urlsafe_b64encode(use.chance(32)).rstrip(b"=").decode()
    await use.requests.insert(request_id, request, now)
    return AuthorizationBegun(request=request_id)
