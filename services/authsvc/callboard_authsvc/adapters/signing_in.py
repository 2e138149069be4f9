"""Signing in to upstreams over this database and this network; see `upstream_oauth.ports`."""

from __future__ import annotations

import asyncpg

from callboard_authsvc.adapters.grant_table import ClientTable, GrantTable, SignInTable
from callboard_authsvc.adapters.key_file import SIGN_IN_LINKS, KeyFile
from callboard_authsvc.adapters.server_definitions import ServerDefinitions
from callboard_authsvc.adapters.sign_in_journal import SignInJournal, VaultSecrets
from callboard_authsvc.adapters.standings import PersonStandings
from callboard_authsvc.journal import Journal
from callboard_authsvc.upstream_oauth.ports import Fetch, SignInDependencies, here
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.sealed import Sealer


def signing_in(
    public_url: str,
    keys: KeyFile,
    fetch: Fetch,
    journal: Journal,
    vault: VaultDependencies,
    grants: GrantTable,
    pool: asyncpg.Pool,
) -> SignInDependencies:
    """All of it."""
    sealer = Sealer(vault.data_keys, vault.chance)
    return SignInDependencies(
        fetch=fetch,
        grants=grants,
        clients=ClientTable(pool, sealer),
        sign_ins=SignInTable(pool, sealer, keys.derive(SIGN_IN_LINKS), vault.chance),
        servers=ServerDefinitions(pool),
        secrets=VaultSecrets(vault),
        journal=SignInJournal(journal, grants),
        standings=PersonStandings(pool),
        here=here(public_url),
        clock=lambda: vault.clock().timestamp(),
        chance=vault.chance,
    )
