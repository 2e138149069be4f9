"""An edge in this process, with its own eyes on the database, and the two organisations whose walls it tries."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from callboard.local.data_dir import DataDirectory
from callboard.local.database import DATABASE
from callboard.local.nats_server import EmbeddedNats
from callboard.local.postgres_server import EmbeddedPostgres
from callboard_edge.app import Edge
from callboard_edge.settings import EdgeSettings
from tests.api.conftest import Api
from tests.api.two_organisations import Found, Side, Try, Walls, furnish
from tests.api.wall_routes import routes_of
from tests.support.databases import connected
from tests.support.stack import Stack, free_ports
from tests.support.waiting import eventually

AT_ONCE = 50
_TABLES = """
select c.oid::regclass::text as name from pg_class c
where c.relnamespace in ('cb'::regnamespace, 'rm'::regnamespace) and c.relkind in ('r', 'p') and not c.relispartition
  and c.relname not in ('cursor') and exists (
    select from pg_attribute a where a.attrelid = c.oid and a.attname = 'organisation' and not a.attisdropped
  ) order by 1
"""
_LOGINS = """
select distinct a.usename::text, r.rolsuper or r.rolbypassrls as passes,
  (select count(*) from pg_class c where c.relowner = r.oid) as owns
from pg_stat_activity a join pg_roles r on r.rolname = a.usename where a.application_name = 'callboard'
"""


async def state_of(owner: asyncpg.Connection, organisation: str) -> dict[str, str]:
    """Table -> a digest of an organisation's rows, but for when a key was used last."""
    state = {}
    for row in await owner.fetch(_TABLES):
        rows = await owner.fetch(
            f"select (to_jsonb(t) - 'used_at')::text as r from {row['name']} t where organisation = $1 order by 1",
            organisation,
        )
        state[row["name"]] = hashlib.sha256("\n".join(r["r"] for r in rows).encode()).hexdigest()
    return state


def fresh_mark() -> str:
    """Five letters that stand nowhere else."""
    return "q" + "".join("bcdfghjkmnpqrtvwxz"[byte % 18] for byte in os.urandom(4))


class Rig:
    """An edge in this process beside those of the installation, and the two organisations behind it."""

    def __init__(self, runner: asyncio.Runner, stack: Stack, ours: Side, theirs: Side) -> None:
        self.runner = runner
        self._directory = DataDirectory(stack.directory)
        nats = EmbeddedNats(self._directory.nats, trust=self._directory.bus_trust())
        credentials = str(self._directory.keys / "edge.creds")
        port = free_ports(1)
        self._edge = Edge(EdgeSettings(nats_url=nats.url, nats_credentials=credentials, port=port), "walls")
        self.theirs = theirs
        runner.run(self._edge.start())
        self.base = f"http://127.0.0.1:{port}"
        transport = httpx2.ASGITransport(app=self._edge.application())
        self.http = httpx2.AsyncClient(transport=transport, base_url=f"{self.base}/api/v1")
        described = runner.run(self.http.get(f"{self.base}/docs/openapi.json")).json()
        self.routes = routes_of(described)
        self.walls = Walls(self.http, self.routes, ours, theirs)

    async def logins(self) -> list[asyncpg.Record]:
        """The users that the services are connected as."""
        async with connected(EmbeddedPostgres(self._directory.postgres).dsn_for(DATABASE)) as owner:
            found: list[asyncpg.Record] = await owner.fetch(_LOGINS)
            return found

    def tries(self, *paths: str) -> st.SearchStrategy[Try]:
        """Any that names something of theirs; at these routes (method and path) if some are given."""
        some = [n for n, r in enumerate(self.routes) if not paths or f"{r.method} {r.path}".endswith(paths)]
        ways = [(n, abroad) for n in some for abroad in (True, False) if self.walls.possible(Try(n, 0, abroad, 0))]
        assert ways, paths
        principals, choices = st.integers(0, len(self.walls.principals) - 1), st.integers(0, 2**16)
        return st.builds(
            lambda way, who, what: Try(way[0], who, way[1], what), st.sampled_from(ways), principals, choices
        )

    def hold(self, count: int, *paths: str) -> None:
        """So many tries find nothing, and nothing of theirs is changed. Raises `Found`."""
        found: list[Found] = []

        def some(batch: list[Try]) -> None:
            try:
                self.runner.run(self._all(batch))
            except Found as hole:
                found.append(hole)  # the first is the one: what it did cannot be done again
                raise

        size = min(AT_ONCE, count)
        lists = st.lists(self.tries(*paths), min_size=size, max_size=size)
        chosen = settings(
            max_examples=max(1, count // size),
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
            report_multiple_bugs=False,
        )
        try:
            chosen(given(lists)(some))()
        except Exception:
            if not found:
                raise
            raise found[0] from None

    async def _all(self, batch: list[Try]) -> None:
        before = await self.state()
        for one in batch:
            await self.walls.attempt(one)
        after = await self.state()
        changed = [table for table in before if before[table] != after[table]]
        if changed:
            raise Found(f"{changed} of theirs changed by one of {batch}")

    async def state(self) -> dict[str, str]:
        """Their rows, past every service."""
        async with connected(EmbeddedPostgres(self._directory.postgres).dsn_for(DATABASE)) as owner:
            return await state_of(owner, self.theirs.name)

    def close(self) -> None:
        """The edge goes; the installation stays."""
        self.runner.run(self.http.aclose())
        self.runner.run(self._edge.stop())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sides(installation: Stack) -> AsyncIterator[tuple[Side, Side]]:
    admin = Api(installation.url, installation.admin_token)
    ours = await furnish(installation, admin, fresh_mark())
    theirs = await furnish(installation, admin, fresh_mark(), "--tools", "1")
    yield ours, theirs


@pytest.fixture(scope="module")
def rig(installation: Stack, sides: tuple[Side, Side]) -> Iterator[Rig]:
    with asyncio.Runner() as runner:
        rig = Rig(runner, installation, *sides)
        runner.run(_settled(rig))
        yield rig
        rig.close()


async def _settled(rig: Rig) -> None:
    """What goes on by itself in a new organisation is over."""

    async def quiet() -> bool:
        before = await rig.state()
        await asyncio.sleep(0.5)
        return before == await rig.state()

    await eventually(quiet)
