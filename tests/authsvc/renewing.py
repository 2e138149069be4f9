"""One process that wants a token many times at once: python -m tests.authsvc.renewing DSN KEYFILE COUNT [crash]

Prints the tokens as JSON. With `crash` it dies when the authorization server has answered, before anything is kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from callboard.contracts.upstream_sign_in import AskUpstreamToken
from callboard.platform.event_store import EventStore
from callboard.platform.postgres import open_pool
from callboard_authsvc.adapters.grant_table import ClientTable, GrantTable, SignInTable
from callboard_authsvc.adapters.key_file import FINGERPRINT, SIGN_IN_LINKS, TASK_ROOT, KeyFile
from callboard_authsvc.adapters.secret_table import SecretTable
from callboard_authsvc.adapters.server_definitions import ServerDefinitions
from callboard_authsvc.adapters.sign_in_journal import SignInJournal, VaultSecrets
from callboard_authsvc.clock import utc_now
from callboard_authsvc.journal import Journal
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.upstream_oauth.ports import SignInDependencies, here
from callboard_authsvc.upstream_oauth.usable import usable_token
from callboard_authsvc.vault.data_keys import DataKeys
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.fingerprint import Fingerprint
from callboard_authsvc.vault.sealed import Sealer
from tests.support.signing_in import Anybody
from tests.support.ways_out import LOCAL


async def _nobody(organisation: str, seq: int) -> None:
    """No bus is told of events."""


@asynccontextmanager
async def signing_in(dsn: str, key_file: Path) -> AsyncIterator[SignInDependencies]:
    """Signing in on a real database, as `callboard_authsvc.app` wires it."""
    pool = await open_pool(dsn, 4)
    keys = KeyFile.load(key_file, os.urandom, create=True)
    journal = Journal(EventStore(pool, _nobody), "authsvc/test")
    table = SecretTable(pool)
    data_keys = DataKeys(table, keys, os.urandom)
    vault = VaultDependencies(
        journal=journal,
        organisations=KnownOrganisations(journal),
        table=table,
        data_keys=data_keys,
        fingerprint=Fingerprint(keys.derive(FINGERPRINT)),
        clock=utc_now,
        chance=os.urandom,
        task_root=keys.derive(TASK_ROOT),
    )
    sealer = Sealer(data_keys, os.urandom)
    grants = GrantTable(pool, sealer)
    try:
        yield SignInDependencies(
            fetch=LOCAL.fetch,
            grants=grants,
            clients=ClientTable(pool, sealer),
            sign_ins=SignInTable(pool, sealer, keys.derive(SIGN_IN_LINKS), os.urandom),
            servers=ServerDefinitions(pool),
            secrets=VaultSecrets(vault),
            journal=SignInJournal(journal, grants),
            standings=Anybody(),
            here=here("http://localhost:8700"),
            clock=lambda: utc_now().timestamp(),
            chance=os.urandom,
        )
    finally:
        await pool.close()


async def _fetched_and_died(method: str, url: str, *args: Any, **options: Any) -> Any:
    answer = await LOCAL.fetch(method, url, *args, **options)
    if method == "POST":
        os._exit(9)
    return answer


async def main(dsn: str, key_file: str, count: str, how: str = "") -> None:
    async with signing_in(dsn, Path(key_file)) as use:
        if how == "crash":
            object.__setattr__(use, "fetch", _fetched_and_died)
        question = AskUpstreamToken(organisation="acme", server="wiki", subject="alice", attended=True)
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        tokens = await asyncio.gather(*(usable_token(question, use) for _ in range(int(count))))
        print(json.dumps([token.token for token in tokens]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
