"""Tokens without anybody being asked: by a service client's own credentials, or an identity provider's assertion."""

from __future__ import annotations

from callboard.contracts.oauth_server import ClientProof, ExchangeAssertion, IssuedTokens, UseCredentials
from callboard.platform.event_store import Connection, new_id
from callboard_authsvc.oauth_server.assertions import bad_assertion, check_id_jag
from callboard_authsvc.oauth_server.authenticate import authenticated
from callboard_authsvc.oauth_server.client import JWT_BEARER, Client, unknown_client
from callboard_authsvc.oauth_server.consent import new_gid
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.domain import (
    GRANT,
    Give,
    Grant,
    GrantEvent,
    Means,
    NoteGrant,
    Place,
    check_scopes,
    place_of,
    refused,
    scopes_wanted,
    stream_of,
)
from callboard_authsvc.oauth_server.tokens import issued
from callboard_authsvc.oauth_server.verify import require_live


async def use_credentials(command: UseCredentials, use: OAuthDependencies) -> IssuedTokens:
    """Raises `oauth.refused`: `invalid_client`, `unauthorized_client`, `invalid_scope`, `invalid_target`."""
    client = await _service_client(command.proof, "client_credentials", use)
    check_scopes(command.scopes)
    place = _place(command.resource, client, use)
    return await _tokens(client, client.account, "client_credentials", place, scopes_wanted(command.scopes), use)


async def exchange_assertion(command: ExchangeAssertion, use: OAuthDependencies) -> IssuedTokens:
    """The same, and `invalid_grant`. No refresh token: the identity provider is asked again (ID-JAG, section 4.4)."""
    client = await _service_client(command.proof, JWT_BEARER, use)
    check_scopes(command.scopes)
    trusted, claims = await check_id_jag(command.assertion, client, use)
    vouched = claims.get("resource", "")
    place = _place(vouched if isinstance(vouched, str) else "-", client, use)
    if command.resource and place_of(use.issuer, command.resource) != place:
        raise refused("invalid_target", "the assertion is for another resource")
    subject = claims.get("sub")
    issuer = trusted.provider.provider.issuer
    readable = isinstance(subject, str) and subject.isprintable()
    person = await use.external.person_of(issuer, str(subject)) if readable else None
    if person is None:
        raise bad_assertion()
    allowed = claims.get("scope", "")
    scopes = scopes_wanted(command.scopes or str(allowed).split())
    if allowed and not set(scopes) <= set(scopes_wanted(str(allowed).split())):
        raise refused("invalid_scope", "the assertion does not hold all of these scopes")
    return await _tokens(client, person, "assertion", place, scopes, use)


async def _service_client(proof: ClientProof, grant_type: str, use: OAuthDependencies) -> Client:
    client = await authenticated(proof, use)
    if client.kind != "service" or grant_type not in client.grant_types:
        raise refused("unauthorized_client", "an organisation makes clients that may do this")
    account = await use.members.find(client.organisation, client.account)
    # One that was made for an earlier account of this name is nobody's.
    if account is None or client.created_at < account.since:
        raise unknown_client()
    return client


def _place(resource: str, client: Client, use: OAuthDependencies) -> Place:
    """What the token is for, which has to be in the client's own organisation."""
    place = place_of(use.issuer, resource)
    if place.union:
        return Place(place.resource, client.organisation, "", union=True)
    if place.playbook and place.organisation != client.organisation:
        raise refused("invalid_target", "the resource is none of this server's")
    return place


async def _tokens(
    client: Client, member: str, means: Means, place: Place, scopes: tuple[str, ...], use: OAuthDependencies
) -> IssuedTokens:
    now = use.clock()
    wanted = Grant(
        gid=new_gid(use),
        organisation=place.organisation,
        member=member,
        client_id=client.client_id,
        client_name=client.name,
        means=means,
        playbook=place.playbook,
        resource=place.resource,
        scopes=scopes,
        created_at=now,
    )
    await require_live(wanted, use)
    if place.playbook and not await use.playbooks.exists(place.organisation, place.playbook):
        raise refused("invalid_target", "the resource is none of this server's")
    known = await use.grants.like(wanted)
    if known is None:
        await _give(wanted, use)
    else:
        async with use.grants.pool.acquire() as connection, connection.transaction():
            await use.grants.used(connection, known.gid, now)
            await use.clients.used(connection, client.client_id, now)
    return await issued(known or wanted, scopes, use)


async def _give(grant: Grant, use: OAuthDependencies) -> None:
    async def insert(connection: Connection, events: tuple[GrantEvent, ...] = ()) -> None:
        await use.grants.insert(connection, grant)
        await use.grants.used(connection, grant.gid, grant.created_at)
        await use.clients.used(connection, grant.client_id, grant.created_at)

    if not grant.organisation:
        async with use.grants.pool.acquire() as connection, connection.transaction():
            await insert(connection)
        return
    actor = f"{grant.member}/{grant.client_id}"
    note = NoteGrant(command_id=new_id(), organisation=grant.organisation, grant=grant.gid, actor=actor)
    await use.journal.record(note, stream_of(grant.gid), GRANT, Give(grant=grant), insert)
