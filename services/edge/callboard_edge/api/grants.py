"""What clients may do for whom: grants of oneself and of an organisation, and the clients that it made."""

from __future__ import annotations

from litestar import delete, get, post

from callboard.contracts import oauth_subjects as subjects
from callboard.contracts.access import EVERY_ORGANISATION
from callboard.contracts.management import NewServiceClient
from callboard.contracts.oauth_server import (
    AddServiceClient,
    AskGrants,
    AskServiceClients,
    ClientRegistered,
    Grants,
    RemoveServiceClient,
    RevokeGrant,
    ServiceClients,
)
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp

_GRANTS = "/organisations/{organisation:str}/grants"
_CLIENTS = "/organisations/{organisation:str}/oauth-clients"


@get("/me/grants", summary="List what clients may do as oneself")
async def own_grants(bus: Bus, caller: Caller) -> Grants:
    """The newest first: of a person in every organisation, of a token in its own. Whoever is no member has none.

    A token that is limited to some playbooks shows those for one of these.
    """
    principal = caller.principal
    if not principal.member:
        return Grants(grants=())
    organisation = "" if principal.organisation == EVERY_ORGANISATION else principal.organisation
    found = await bus.ask(subjects.GRANTS, AskGrants(organisation=organisation, member=principal.member), Grants)
    if not principal.playbooks:
        return found
    return Grants(grants=tuple(line for line in found.grants if line.playbook and caller.sees(line.playbook)))


@delete("/me/grants/{grant:str}", summary="End what a client may do as oneself", status_code=200)
async def revoke_own_grant(bus: Bus, caller: Caller, stamp: Stamp, grant: str, comment: str = "") -> Done:
    """Its tokens are refused from now on, on every edge."""
    return await _revoke(bus, caller, stamp, "", grant, comment)


@get(_GRANTS, summary="List what clients may do as members")
async def list_grants(bus: Bus, caller: Caller, organisation: str) -> Grants:
    """Of everybody in the organisation, the newest first."""
    caller.require("token:manage", organisation)
    return await bus.ask(subjects.GRANTS, AskGrants(organisation=organisation), Grants)


@delete(_GRANTS + "/{grant:str}", summary="End what a client may do as a member", status_code=200)
async def revoke_grant(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, grant: str, comment: str = ""
) -> Done:
    """Its tokens are refused from now on, on every edge."""
    caller.require("token:manage", organisation)
    return await _revoke(bus, caller, stamp, organisation, grant, comment)


async def _revoke(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, grant: str, comment: str) -> Done:
    command = RevokeGrant(
        command_id=stamp.command_id(),
        organisation=organisation,
        grant=grant,
        comment=comment,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.REVOKE_GRANT, command, Done)


@get(_CLIENTS, summary="List the OAuth clients of service accounts")
async def list_clients(bus: Bus, caller: Caller, organisation: str) -> ServiceClients:
    """Without their secrets."""
    caller.require("token:manage", organisation)
    return await bus.ask(subjects.SERVICE_CLIENTS, AskServiceClients(organisation=organisation), ServiceClients)


@post(_CLIENTS, summary="Make an OAuth client for a service account", response_headers={"Cache-Control": "no-store"})
async def add_client(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, data: NewServiceClient
) -> ClientRegistered:
    """The only time that its secret is shown; with public keys it has none."""
    caller.require("token:manage", organisation)
    command = AddServiceClient(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        account=data.account,
        title=data.title,
        public_keys=data.public_keys,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.ADD_SERVICE_CLIENT, command, ClientRegistered)


@delete(_CLIENTS + "/{client_id:str}", summary="Remove an OAuth client", status_code=200)
async def remove_client(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, client_id: str) -> Done:
    """With all that it was granted."""
    caller.require("token:manage", organisation)
    command = RemoveServiceClient(
        command_id=stamp.command_id(),
        organisation=organisation,
        client_id=client_id,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.REMOVE_SERVICE_CLIENT, command, Done)


ROUTES = [
    own_grants,
    revoke_own_grant,
    list_grants,
    revoke_grant,
    list_clients,
    add_client,
    remove_client,
]
