"""Clients that an organisation makes for its service accounts: added, listed, removed."""

from __future__ import annotations

from callboard.contracts.access_events import ServiceClientAdded, ServiceClientRemoved
from callboard.contracts.oauth_server import (
    AddServiceClient,
    AskServiceClients,
    AuthMethod,
    ClientRegistered,
    RemoveServiceClient,
    ServiceClientLine,
    ServiceClients,
)
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.kernel.names import is_slug
from callboard.kernel.tokens import CLIENT_SECRET_PREFIX, base62, compose
from callboard.platform.event_store import Connection
from callboard_authsvc.adapters.member_table import MemberRow
from callboard_authsvc.members.domain import unknown_member
from callboard_authsvc.members.rights import require_to_give
from callboard_authsvc.oauth_server.client import (
    MAX_NAME,
    SERVICE_CLIENT,
    SERVICE_GRANTS,
    Client,
    ServiceClientEvent,
    checked_keys,
    stream_of,
)
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies


async def add_service_client(command: AddServiceClient, use: OAuthDependencies) -> ClientRegistered:
    """Raises `organisation.unknown`, `member.unknown`, `auth.forbidden`, `argument.invalid`, `command.reused`."""
    await use.organisations.require(command.organisation)
    principal = await use.rights.require(command.by, "token:manage", command.organisation)
    if not is_slug(command.account):
        raise Problem("argument.invalid", "account: give the name of a service account", argument="account")
    account = await use.members.find(command.organisation, command.account)
    if account is None or account.kind != "service":
        raise unknown_member(command.account)
    # Whoever has the client may do what the account may.
    require_to_give(principal, (account.role, *account.permissions), command.organisation)
    client, secret = _made(command, account, use)

    async def insert(connection: Connection, events: tuple[ServiceClientEvent, ...]) -> None:
        await use.clients.insert(connection, client)

    event = ServiceClientAdded(client_id=client.client_id, account=client.account, auth_method=client.auth_method)
    outcome = await use.journal.record(command, stream_of(client.client_id), SERVICE_CLIENT, event, insert)
    if outcome.replayed:
        raise Problem("command.reused", "this command made a client already, whose secret is shown only once")
    return ClientRegistered(client_id=client.client_id, issued_at=client.created_at, client_secret=secret)


def _made(command: AddServiceClient, account: MemberRow, use: OAuthDependencies) -> tuple[Client, str]:
    if len(command.title) > MAX_NAME or not command.title.isprintable():
        raise Problem("argument.invalid", f"title: use at most {MAX_NAME} printable characters", argument="title")
    try:
        keys = checked_keys(command.public_keys) if command.public_keys else ""
    except Problem as problem:
        raise Problem("argument.invalid", problem.message, argument="public_keys") from None
    secret = "" if keys else compose(use.chance(40), CLIENT_SECRET_PREFIX)
    method: AuthMethod = "private_key_jwt" if keys else "client_secret_basic"
    client = Client(
        client_id=f"service-{base62(use.chance(16), 22)}",
        kind="service",
        name=command.title or command.account,
        redirect_uris=(),
        auth_method=method,
        grant_types=SERVICE_GRANTS,
        # Never before its account, whichever instance's clock was ahead.
        created_at=max(use.clock(), account.since),
        verifier=use.verifier.of(secret) if secret else None,
        public_keys=keys,
        organisation=command.organisation,
        account=command.account,
    )
    return client, secret


async def remove_service_client(command: RemoveServiceClient, use: OAuthDependencies) -> Done:
    """With all of its grants. Raises `oauth_client.unknown`, `auth.forbidden`."""
    await use.rights.require(command.by, "token:manage", command.organisation)
    client = await use.clients.find(command.client_id)
    if client is None or client.organisation != command.organisation:
        raise Problem("oauth_client.unknown", f"there is no client {command.client_id[:80]!r} in this organisation")
    ended = await use.grants.of_client(client.client_id)

    async def remove(connection: Connection, events: tuple[ServiceClientEvent, ...]) -> None:
        await use.clients.remove(connection, command.organisation, client.client_id, use.clock())

    event = ServiceClientRemoved(client_id=client.client_id, account=client.account)
    outcome = await use.journal.record(command, stream_of(client.client_id), SERVICE_CLIENT, event, remove)
    for gid in ended:
        use.push.announce(gid)
    return Done(seq=outcome.seq)


async def list_service_clients(question: AskServiceClients, use: OAuthDependencies) -> ServiceClients:
    """The oldest first. Raises `organisation.unknown`."""
    await use.organisations.require(question.organisation)
    clients = await use.clients.of_organisation(question.organisation)
    return ServiceClients(
        clients=tuple(
            ServiceClientLine(
                client_id=client.client_id,
                account=client.account,
                title=client.name,
                auth_method=client.auth_method,
                created_at=client.created_at,
                used_at=client.used_at,
            )
            for client in clients
        )
    )
