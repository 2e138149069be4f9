"""What the verbs of this folder work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import asyncpg

from callboard.kernel.access_tokens import AccessClaims
from callboard.platform.egress import Egress, private_hosts
from callboard_authsvc.adapters.attempt_table import AttemptTable
from callboard_authsvc.adapters.client_keys import ClientKeys
from callboard_authsvc.adapters.external_table import ExternalTable
from callboard_authsvc.adapters.identity_provider import IdentityProvider, Provider
from callboard_authsvc.adapters.member_table import MemberTable
from callboard_authsvc.adapters.oauth_client_table import OAuthClientTable, OAuthRequestTable
from callboard_authsvc.adapters.oauth_grant_table import OAuthGrantTable
from callboard_authsvc.adapters.person_table import PersonTable
from callboard_authsvc.adapters.playbook_names import PlaybookNames
from callboard_authsvc.adapters.revocation_push import RevocationPush
from callboard_authsvc.clock import Chance, Clock
from callboard_authsvc.journal import Journal
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.members.rights import Rights
from callboard_authsvc.oauth_server.client import parse_private_uris, parse_trusted
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.refusals.note import Refusals
from callboard_authsvc.settings import AuthsvcSettings
from callboard_authsvc.signing.dependencies import SigningDependencies
from callboard_authsvc.signing.mint import StoredKeys
from callboard_authsvc.tokens.verifier import Verifier
from callboard_authsvc.upstream_oauth.ports import Fetch


@dataclass(frozen=True)
class Trusted:
    """An identity provider that may vouch for persons of one organisation (ID-JAG)."""

    provider: IdentityProvider
    organisation: str


@dataclass(frozen=True)
class OAuthDependencies:
    """Made once, in `app.py`.

    `issuer`: the public URL without a slash at its end. `lineage`: a key of its own, from which refresh tokens follow.
    `private_uris`: redirect URIs of other schemes, beside those that are known. `trusted`: by issuer. `fetch`: for
    what clients name, which anybody can be.
    """

    journal: Journal
    organisations: KnownOrganisations
    clients: OAuthClientTable
    requests: OAuthRequestTable
    grants: OAuthGrantTable
    members: MemberTable
    persons: PersonTable
    external: ExternalTable
    playbooks: PlaybookNames
    attempts: AttemptTable
    rights: Rights
    push: RevocationPush
    refusals: Refusals
    verifier: Verifier
    mint: Callable[[AccessClaims], Awaitable[str]]
    signing_keys: StoredKeys
    lineage: bytes
    fetch: Fetch
    client_keys: ClientKeys
    issuer: str
    private_uris: frozenset[str]
    trusted: Mapping[str, Trusted]
    clock: Clock
    chance: Chance


def oauth_of(
    settings: AuthsvcSettings,
    pool: asyncpg.Pool,
    members: MemberDependencies,
    signing: SigningDependencies,
    push: RevocationPush,
    lineage: bytes,
    fetch: Fetch,
    refusals: Refusals,
) -> OAuthDependencies:
    """All of it over this database. `fetch`: for what the settings name."""
    # Anybody can be a client, so what an operator allows upstreams is not for what clients name.
    name = "CALLBOARD_AUTHSVC_PRIVATE_CLIENTS"
    clients_fetch = Egress(private_hosts(name, settings.private_clients, production=settings.production)).fetch
    return OAuthDependencies(
        journal=members.journal,
        organisations=members.organisations,
        clients=OAuthClientTable(pool),
        requests=OAuthRequestTable(pool),
        grants=OAuthGrantTable(pool),
        members=members.table,
        persons=PersonTable(pool),
        external=ExternalTable(pool),
        playbooks=PlaybookNames(pool),
        attempts=AttemptTable(pool),
        rights=members.rights,
        push=push,
        refusals=refusals,
        verifier=members.verifier,
        mint=signing.minter.mint,
        signing_keys=signing.table,
        lineage=lineage,
        fetch=clients_fetch,
        client_keys=ClientKeys(clients_fetch, members.clock),
        issuer=settings.public_url.rstrip("/"),
        private_uris=parse_private_uris(settings.redirect_uris),
        trusted={
            issuer: Trusted(IdentityProvider(_provider(issuer), fetch), organisation)
            for issuer, organisation in parse_trusted(settings.id_jag_issuers).items()
        },
        clock=members.clock,
        chance=members.chance,
    )


def _provider(issuer: str) -> Provider:
    """Of which only the keys are wanted."""
    return Provider(issuer=issuer, client_id="", client_secret="", redirect_url="", scopes="")
