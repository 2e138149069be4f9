"""Which client is at the token endpoint, by the method that it registered."""

from __future__ import annotations

from callboard.contracts.oauth_server import ClientProof
from callboard_authsvc.oauth_server.assertions import check_client_assertion, claimed_client
from callboard_authsvc.oauth_server.client import Client, unknown_client
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.find_client import client_of
from callboard_authsvc.refusals.domain import Shown


async def authenticated(proof: ClientProof, use: OAuthDependencies) -> Client:
    """Raises `oauth.refused` with `invalid_client`, with one message for whatever is wrong."""
    client_id = proof.client_id or (claimed_client(proof.assertion) if proof.assertion else "")
    with use.refusals.of("oauth", Shown(client_id=client_id), proof.address):
        return await _proved(client_id, proof, use)


async def _proved(client_id: str, proof: ClientProof, use: OAuthDependencies) -> Client:
    # Nobody is redirected by what is read here, so a public client's document may be that of its last visit.
    client = await client_of(client_id, use, proof.address, stale=True)
    match client.auth_method:
        case "none":
            pass
        case "private_key_jwt":
            if not proof.assertion:
                raise unknown_client()
            # Its keys are another matter.
            client = await client_of(client_id, use, proof.address)
            await check_client_assertion(proof.assertion, client, proof.address, use)
        case "client_secret_basic" | "client_secret_post":
            # In the header or in the body: a client that mixes them up has shown the secret all the same.
            if not use.verifier.fits(proof.secret, client.verifier):
                raise unknown_client()
    return client
