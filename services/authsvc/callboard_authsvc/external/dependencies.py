"""What the verbs of this folder work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from callboard.kernel.webhook_signatures import key_of
from callboard_authsvc.adapters.external_table import ExternalTable
from callboard_authsvc.adapters.identity_provider import IdentityProvider, Provider
from callboard_authsvc.external.domain import parse_roles
from callboard_authsvc.people.dependencies import PeopleDependencies
from callboard_authsvc.settings import AuthsvcSettings
from callboard_authsvc.upstream_oauth.ports import Fetch


@dataclass(frozen=True)
class ExternalDependencies:
    """Made once, in `app.py`. `provider` is None where the settings name none.

    `organisation`: where the `roles` of groups (the claim `groups_claim`) are roles. `parties`: the `azp` whose JWTs
    the management API takes. `webhook_key`: of what the provider tells by itself; empty: nothing is taken.
    """

    provider: IdentityProvider | None
    table: ExternalTable
    people: PeopleDependencies
    organisation: str
    groups_claim: str
    roles: Mapping[str, str]
    parties: frozenset[str]
    webhook_key: bytes


def external_of(
    settings: AuthsvcSettings, people: PeopleDependencies, pool: asyncpg.Pool, fetch: Fetch
) -> ExternalDependencies:
    """All of it as the settings say."""
    provider = Provider(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret,
        redirect_url=settings.oidc_redirect_url,
        scopes=settings.oidc_scopes,
    )
    return ExternalDependencies(
        provider=IdentityProvider(provider, fetch) if settings.oidc_issuer else None,
        table=ExternalTable(pool),
        people=people,
        organisation=settings.oidc_organisation,
        groups_claim=settings.oidc_groups_claim,
        roles=parse_roles(settings.oidc_roles),
        webhook_key=key_of(settings.oidc_webhook_secret) if settings.oidc_webhook_secret else b"",
        parties=frozenset({settings.oidc_client_id, *settings.oidc_parties.split(",")} - {""}),
    )
