"""Dynamic client registration (RFC 7591): for anybody, so limited by address, and over when it is not used."""

from __future__ import annotations

from typing import Final

from callboard.contracts.oauth_server import ClientRegistered, RegisterClient
from callboard.kernel.tokens import CLIENT_SECRET_PREFIX, base62, compose
from callboard_authsvc.oauth_server.client import Client, check_registration
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.limit import limit

REGISTRATIONS: Final = 20
"""Of one address, within a quarter of an hour."""


async def register_client(command: RegisterClient, use: OAuthDependencies) -> ClientRegistered:
    """Raises `oauth.refused` (`invalid_redirect_uri`, `invalid_client_metadata`) or `oauth.too_many`."""
    await limit("oauth registration", command.address, REGISTRATIONS, use)
    check_registration(command, use.private_uris)
    now = use.clock()
    secret = "" if command.auth_method == "none" else compose(use.chance(40), CLIENT_SECRET_PREFIX)
    client = Client(
        client_id=f"client-{base62(use.chance(16), 22)}",
        kind="dynamic",
        name=command.name,
        redirect_uris=command.redirect_uris,
        auth_method=command.auth_method,
        grant_types=command.grant_types,
        created_at=now,
        verifier=use.verifier.of(secret) if secret else None,
    )
    await use.clients.keep(client, now)
    return ClientRegistered(client_id=client.client_id, issued_at=now, client_secret=secret)
