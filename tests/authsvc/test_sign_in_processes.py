"""Grants in a real database, wanted by real processes at once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest_asyncio

from callboard.contracts.definitions import ServerDefinition, UpstreamOAuth
from callboard.contracts.events import EventMeta, OrganisationCreated, ServerRegistered, ServerRetired
from callboard.contracts.playbooks import Done
from callboard.contracts.upstream_sign_in import (
    AskSignIns,
    AskUpstreamToken,
    BeginSignIn,
    OpenSignIn,
    SignInLink,
    UpstreamSignOut,
    UpstreamToken,
)
from callboard.contracts.vault import RotateDataKey
from callboard.platform.event_store import EventStore, Write, new_id
from callboard_authsvc.adapters.grant_table import GrantTable
from callboard_authsvc.adapters.sign_in_journal import VaultSecrets
from callboard_authsvc.upstream_oauth.begin import begin_sign_in
from callboard_authsvc.upstream_oauth.domain import Whose
from callboard_authsvc.upstream_oauth.link import open_sign_in
from callboard_authsvc.upstream_oauth.list import list_sign_ins
from callboard_authsvc.upstream_oauth.ports import SignInDependencies
from callboard_authsvc.upstream_oauth.sign_out import sign_out
from callboard_authsvc.upstream_oauth.usable import usable_token
from callboard_authsvc.vault.rotate import rotate_data_key
from tests.authsvc.renewing import signing_in
from tests.authsvc.stack import refused
from tests.support.guarded import Guarded, guarded
from tests.support.signing_in import PERSON, consented
from tests.support.upstreams.launch import ROOT, die_with_parent
from tests.support.waiting import PATIENCE

PROCESSES, EACH = 4, 25
ALICE = Whose("acme", "wiki", "alice")


class Wiki:
    def __init__(self, server: Guarded, use: SignInDependencies, dsn: str, key_file: Path) -> None:
        self.server = server
        self.use = use
        self.dsn = dsn
        self.key_file = key_file

    async def token(self) -> UpstreamToken:
        question = AskUpstreamToken(organisation="acme", server="wiki", subject="alice", attended=True)
        return await usable_token(question, self.use)

    async def link(self) -> SignInLink:
        return await open_sign_in(OpenSignIn(organisation="acme", server="wiki", subject="alice"), self.use)

    async def sign_in(self) -> None:
        await consented((await self.link()).url, self.use)

    @property
    def refreshed(self) -> int:
        return [form["grant_type"] for form in self.server.forms].count("refresh_token")

    async def execute(self, text: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(text))
        finally:
            await connection.close()

    @asynccontextmanager
    async def process(self, count: int, *how: str) -> AsyncIterator[asyncio.subprocess.Process]:
        words = [sys.executable, "-m", "tests.authsvc.renewing", self.dsn, str(self.key_file), str(count), *how]
        running = await asyncio.create_subprocess_exec(
            *words,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            preexec_fn=die_with_parent(),
        )
        try:
            assert running.stdout is not None
            assert (await asyncio.wait_for(running.stdout.readline(), PATIENCE)).strip() == b"ready"
            yield running
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()


async def go(running: asyncio.subprocess.Process) -> list[str]:
    said, _ = await asyncio.wait_for(running.communicate(b"go\n"), PATIENCE)
    tokens: list[str] = json.loads(said) if said else []
    return tokens


@pytest_asyncio.fixture
async def wiki(tmp_path: Path, dsn: str) -> AsyncIterator[Wiki]:
    async with guarded(expires_in=0) as server:
        key_file = tmp_path / "keys" / "vault.key"
        async with signing_in(dsn, key_file) as use:
            definition = ServerDefinition(url=server.url, oauth=UpstreamOAuth())
            await append(dsn, "organisation-acme", OrganisationCreated(organisation="acme"))
            await append(dsn, "server-wiki", ServerRegistered(server="wiki", definition=definition))
            yield Wiki(server, use, dsn, key_file)


async def append(dsn: str, stream: str, event: OrganisationCreated | ServerRegistered | ServerRetired) -> None:
    async def nobody(organisation: str, seq: int) -> None:
        pass

    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1)
    try:
        writes = [Write(stream, (event,))]
        await EventStore(pool, nobody).append("acme", new_id(), event, EventMeta(actor="test"), writes)
    finally:
        await pool.close()


async def test_a_hundred_callers_in_four_processes_renew_a_token_once(wiki: Wiki) -> None:
    await wiki.sign_in()
    wiki.server.expires_in, wiki.server.lag = 3600, 0.3
    async with (
        wiki.process(EACH) as one,
        wiki.process(EACH) as two,
        wiki.process(EACH) as three,
        wiki.process(EACH) as four,
    ):
        found = await asyncio.gather(*(go(each) for each in (one, two, three, four)))
    tokens = [token for each in found for token in each]
    assert len(tokens) == PROCESSES * EACH
    assert len(set(tokens)) == 1
    assert tokens[0] in wiki.server.access
    assert wiki.refreshed == 1


async def test_a_crash_after_the_exchange_is_seen_and_a_person_is_asked(wiki: Wiki) -> None:
    await wiki.sign_in()
    async with wiki.process(1, "crash") as crashing:
        assert await go(crashing) == []
        assert await asyncio.wait_for(crashing.wait(), PATIENCE) == 9
    assert wiki.refreshed == 1, "the old refresh token is used up, and the new one is lost"
    await wiki.execute("update cb.upstream_grant set lease_until = now()")  # as it is some seconds later
    await refused("server.sign_in_needed", wiki.token())
    (line,) = (await list_sign_ins(AskSignIns(organisation="acme", server="wiki"), wiki.use)).grants
    assert (line.subject, line.state) == ("alice", "reconnect")
    await wiki.sign_in()
    assert (await wiki.token()).token in wiki.server.access


async def test_a_late_renewal_does_not_undo_a_sign_in(wiki: Wiki) -> None:
    await wiki.sign_in()
    held = await wiki.use.grants.find(ALICE)
    assert held is not None
    assert await wiki.use.grants.lease(ALICE, held.version, 15)
    assert not await wiki.use.grants.lease(ALICE, held.version, 15)
    await wiki.sign_in()
    assert await wiki.use.grants.keep(ALICE, held.grant, over=held.version) is None
    newest = await wiki.use.grants.find(ALICE)
    assert newest is not None
    assert newest.grant.access_token != held.grant.access_token


async def test_nothing_of_a_sign_in_stands_in_the_database_in_the_clear(wiki: Wiki) -> None:
    link = await wiki.link()
    (row,) = await wiki.execute("select * from cb.upstream_sign_in")
    handle = link.url.rpartition("/")[2]
    assert (await wiki.link()).url == link.url
    assert handle not in repr(dict(row))
    await wiki.sign_in()
    tokens = [*wiki.server.access, *wiki.server.refresh]
    tables = ("upstream_grant", "upstream_client", "upstream_sign_in", "event", "command")
    dump = repr([[dict(row) for row in await wiki.execute(f"select * from cb.{table}")] for table in tables])
    assert tokens
    assert not [token for token in tokens if token in dump]
    assert "upstream.signed_in" in dump


async def test_a_grant_moved_to_another_subject_does_not_open(wiki: Wiki) -> None:
    await wiki.sign_in()
    await wiki.execute("update cb.upstream_grant set subject = 'bob'")
    await refused("secret.unreadable", wiki.use.grants.find(Whose("acme", "wiki", "bob")))


async def test_grants_and_registrations_follow_a_new_data_key(wiki: Wiki) -> None:
    await wiki.sign_in()
    assert isinstance(wiki.use.secrets, VaultSecrets)
    assert isinstance(wiki.use.grants, GrantTable)
    before = await wiki.use.grants.find(ALICE)
    command = RotateDataKey(command_id=new_id(), organisation="acme", actor="ann")
    await rotate_data_key(command, wiki.use.secrets.vault, wiki.use.grants)
    for table in ("upstream_grant", "upstream_client"):
        (row,) = await wiki.execute(f"select substring(sealed from 2 for 4) as key from cb.{table}")
        assert bytes(row["key"]) == b"\0\0\0\2"
    assert await wiki.use.grants.find(ALICE) == before
    assert await wiki.use.clients.find("acme", wiki.server.origin) is not None


async def test_a_link_is_good_for_some_minutes(wiki: Wiki) -> None:
    handle = (await wiki.link()).url.rpartition("/")[2]
    assert await wiki.use.sign_ins.look(handle) is not None
    assert await wiki.use.sign_ins.look(handle[:-2] + "AA") is None
    await wiki.execute("update cb.upstream_sign_in set expires_at = now()")
    assert await wiki.use.sign_ins.look(handle) is None
    assert (await wiki.link()).url.rpartition("/")[2] != handle


async def test_signing_out_deletes_the_tokens(wiki: Wiki) -> None:
    await wiki.sign_in()
    command = UpstreamSignOut(command_id=new_id(), organisation="acme", server="wiki", subject="alice", actor="alice")
    assert isinstance(await sign_out(command, wiki.use), Done)
    assert wiki.server.counts["/revoke"] == 1
    assert await wiki.execute("select * from cb.upstream_grant") == []
    assert (await wiki.token()).token == ""
    await refused("sign_in.unknown", sign_out(command, wiki.use))


async def test_a_server_that_was_retired_gets_no_token(wiki: Wiki) -> None:
    await wiki.sign_in()
    handle = (await wiki.link()).url.rpartition("/")[2]
    await append(wiki.dsn, "server-wiki", ServerRetired(server="wiki"))
    assert (await wiki.token()).token == ""
    await refused("server.unknown", begin_sign_in(BeginSignIn(handle=handle, browser="b", person=PERSON), wiki.use))
