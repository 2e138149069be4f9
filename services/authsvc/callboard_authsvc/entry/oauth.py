"""The authorization server of MCP clients: one handler for each message."""

from __future__ import annotations

from callboard.contracts import oauth_subjects as subjects
from callboard.contracts.access import Principal
from callboard.contracts.oauth_server import (
    AddServiceClient,
    AskClient,
    AskConsent,
    AskGrants,
    AskServiceClients,
    AuthorizationBegun,
    BeginAuthorization,
    ClientRegistered,
    Consent,
    ConsentDecided,
    ExchangeAssertion,
    ExchangeCode,
    GiveConsent,
    Grants,
    Introspect,
    Introspection,
    IssuedTokens,
    OAuthClient,
    RefreshTokens,
    RefuseConsent,
    RegisterClient,
    RemoveServiceClient,
    RevokeGrant,
    RevokePresented,
    ServiceClients,
    UseCredentials,
)
from callboard.contracts.playbooks import Done
from callboard.contracts.signing import VerifyGrant
from callboard.contracts.signing_subjects import VERIFY_GRANT
from callboard.platform.bus import Bus, register
from callboard_authsvc.oauth_server.begin import begin_authorization
from callboard_authsvc.oauth_server.consent import ask_consent, give_consent, refuse_consent
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.exchange_code import exchange_code
from callboard_authsvc.oauth_server.find_client import find_client
from callboard_authsvc.oauth_server.grants import list_grants, revoke_grant
from callboard_authsvc.oauth_server.presented import introspect, revoke_presented
from callboard_authsvc.oauth_server.refresh_tokens import refresh_tokens
from callboard_authsvc.oauth_server.register_client import register_client
from callboard_authsvc.oauth_server.service_clients import (
    add_service_client,
    list_service_clients,
    remove_service_client,
)
from callboard_authsvc.oauth_server.service_tokens import exchange_assertion, use_credentials
from callboard_authsvc.oauth_server.verify import verify_grant


def register_oauth(bus: Bus, use: OAuthDependencies) -> None:
    """All of it."""
    _register_authorization(bus, use)
    _register_tokens(bus, use)
    _register_management(bus, use)


def _register_authorization(bus: Bus, use: OAuthDependencies) -> None:
    async def registered(command: RegisterClient) -> ClientRegistered:
        return await register_client(command, use)

    async def client(question: AskClient) -> OAuthClient:
        return await find_client(question, use)

    async def begun(command: BeginAuthorization) -> AuthorizationBegun:
        return await begin_authorization(command, use)

    async def consent(question: AskConsent) -> Consent:
        return await ask_consent(question, use)

    async def given(command: GiveConsent) -> ConsentDecided:
        return await give_consent(command, use)

    async def denied(command: RefuseConsent) -> ConsentDecided:
        return await refuse_consent(command, use)

    register(bus, subjects.REGISTER_CLIENT, registered)
    register(bus, subjects.CLIENT, client)
    register(bus, subjects.BEGIN_AUTHORIZATION, begun)
    register(bus, subjects.CONSENT, consent)
    # The organisation in it is one that a person chose, for a request that is nobody's yet.
    register(bus, subjects.GIVE_CONSENT, given, confine=False)
    register(bus, subjects.REFUSE_CONSENT, denied)


def _register_tokens(bus: Bus, use: OAuthDependencies) -> None:
    async def exchanged(command: ExchangeCode) -> IssuedTokens:
        return await exchange_code(command, use)

    async def refreshed(command: RefreshTokens) -> IssuedTokens:
        return await refresh_tokens(command, use)

    async def by_credentials(command: UseCredentials) -> IssuedTokens:
        return await use_credentials(command, use)

    async def by_assertion(command: ExchangeAssertion) -> IssuedTokens:
        return await exchange_assertion(command, use)

    async def revoked(command: RevokePresented) -> Done:
        return await revoke_presented(command, use)

    async def principal(question: VerifyGrant) -> Principal:
        return await verify_grant(question, use)

    register(bus, subjects.EXCHANGE_CODE, exchanged)
    register(bus, subjects.REFRESH, refreshed)
    register(bus, subjects.CLIENT_CREDENTIALS, by_credentials)
    register(bus, subjects.EXCHANGE_ASSERTION, by_assertion)
    register(bus, subjects.REVOKE, revoked)
    register(bus, VERIFY_GRANT, principal)


def _register_management(bus: Bus, use: OAuthDependencies) -> None:
    async def introspected(question: Introspect) -> Introspection:
        return await introspect(question, use)

    async def grants(question: AskGrants) -> Grants:
        return await list_grants(question, use)

    async def ended(command: RevokeGrant) -> Done:
        return await revoke_grant(command, use)

    async def added(command: AddServiceClient) -> ClientRegistered:
        return await add_service_client(command, use)

    async def removed(command: RemoveServiceClient) -> Done:
        return await remove_service_client(command, use)

    async def clients(question: AskServiceClients) -> ServiceClients:
        return await list_service_clients(question, use)

    register(bus, subjects.INTROSPECT, introspected)
    register(bus, subjects.GRANTS, grants)
    register(bus, subjects.REVOKE_GRANT, ended)
    register(bus, subjects.ADD_SERVICE_CLIENT, added)
    register(bus, subjects.REMOVE_SERVICE_CLIENT, removed)
    register(bus, subjects.SERVICE_CLIENTS, clients)
