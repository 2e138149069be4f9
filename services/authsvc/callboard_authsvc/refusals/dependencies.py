"""What `write.py` works with."""

from __future__ import annotations

import asyncpg

from callboard_authsvc.adapters.oauth_client_table import OAuthClientTable
from callboard_authsvc.adapters.person_table import PersonTable
from callboard_authsvc.adapters.token_table import TokenTable
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.refusals.write import RefusalsWriter


def refusals_of(members: MemberDependencies, pool: asyncpg.Pool, key: bytes) -> RefusalsWriter:
    """All of it over this database. `key`: of the digests."""
    return RefusalsWriter(
        journal=members.journal,
        organisations=members.organisations,
        persons=PersonTable(pool),
        members=members.table,
        tokens=TokenTable(pool),
        clients=OAuthClientTable(pool),
        key=key,
        clock=members.clock,
    )
