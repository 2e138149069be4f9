"""Row-level security: what the connections of a room see, without any filter of the application."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from callboard.contracts.events import EventMeta, OrganisationCreated
from callboard.contracts.playbooks import Done
from callboard.platform import migrate as migrating
from callboard.platform.backup import back_up, restore
from callboard.platform.event_store import EventStore, Write, new_id
from callboard.platform.migrate import migrate
from callboard.platform.migration_texts import migration_texts
from callboard.platform.postgres import open_pool
from callboard.platform.settings import SettingsRefused
from callboard.platform.walls import KEEPER, ROOM, WalledPool, across, confined
from callboard_projections.call_log.partitions import Partitions
from callboard_projections.history.assignments import ASSIGNMENTS
from callboard_projections.history.projection import suffixed
from callboard_projections.history.registry import PROJECTIONS, establish
from callboard_projections.rebuild.rebuild import Rebuilds
from tests.platform.behind_walls import DAY, OF_PERSONS, OURS, THEIRS, Leak, fill, leaks, relations
from tests.support.databases import Databases, connected
from tests.support.waiting import eventually

META = EventMeta(actor="test", comment="", producer="test")


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[WalledPool]:
    """The connections of a room."""
    pool = await open_pool(dsn, 2)
    try:
        yield pool
    finally:
        await pool.close()


@pytest_asyncio.fixture
async def owner(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """The superuser, in a database with everything that there is: also what the projections make."""
    async with opened(dsn) as pool:
        await establish(pool, PROJECTIONS)
        await Partitions(pool, timedelta(days=9)).make([DAY])
    async with connected(dsn) as connection:
        await fill(connection)
        yield connection


@pytest_asyncio.fixture
async def room(dsn: str, owner: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A connection as a room has it, confined to one of the two organisations."""
    async with opened(dsn) as pool:
        with confined(OURS):
            async with pool.acquire() as connection:
                yield connection


async def test_no_statement_gets_at_another_organisation_in_any_table(
    owner: asyncpg.Connection, room: asyncpg.Connection
) -> None:
    assert await leaks(owner, room) == []


async def test_there_is_something_to_see_in_every_table_that_has_a_wall(
    owner: asyncpg.Connection, room: asyncpg.Connection
) -> None:
    tables = [r["name"] for r in await relations(owner) if r["has_organisation"] and not r["is_partition"]]
    assert len(tables) > 25
    for name in tables:
        if not name.startswith("rm.") or name.rpartition("_")[2].isdigit():
            assert [r["organisation"] for r in await room.fetch(f"select organisation from {name}")] == [OURS], name


async def test_a_room_owns_nothing_and_passes_by_no_policy(room: asyncpg.Connection, owner: asyncpg.Connection) -> None:
    assert await room.fetchval("select current_user") == ROOM
    for role in (ROOM, KEEPER):
        rights = await owner.fetchrow(
            "select rolsuper, rolbypassrls, rolcanlogin from pg_roles where rolname = $1", role
        )
        assert rights is not None
        assert set(rights.values()) == {False}
    owned = await owner.fetchval("select count(*) from pg_class where pg_get_userbyid(relowner) = $1", ROOM)
    assert owned == 0


@pytest.mark.parametrize(
    ("gap", "leak"),
    [
        (
            "create table cb.new_one (organisation text, x text); grant select on cb.new_one to callboard_room",
            "no wall",
        ),
        ("create table cb.new_one (x text); grant select on cb.new_one to callboard_room", "open to rooms"),
        ("alter table cb.secret no force row level security", "no wall"),
        ("drop policy one_organisation on cb.token; create policy all_ on cb.token using (true)", "select"),
        ("alter view rm.playbook set (security_invoker = false); alter view rm.playbook owner to postgres", "select"),
        ("grant select on cb.event_0 to callboard_room", "open to rooms"),
    ],
)
async def test_a_gap_in_the_wall_is_found(
    gap: str, leak: str, owner: asyncpg.Connection, room: asyncpg.Connection
) -> None:
    await owner.execute(gap)
    await fill_new(owner)
    assert any(found.how.startswith(leak) for found in await leaks(owner, room))


async def fill_new(owner: asyncpg.Connection) -> None:
    """Rows for a table that came later, if it says whose they are."""
    columns = "select count(*) from pg_attribute where attrelid = to_regclass('cb.new_one') and attnum > 0"
    if await owner.fetchval(columns) == 2:
        await owner.execute("insert into cb.new_one values ($1, 'x'), ($2, 'x')", OURS, THEIRS)


async def test_a_table_that_is_added_stands_behind_a_wall_after_the_next_migration(
    owner: asyncpg.Connection, room: asyncpg.Connection, dsn: str
) -> None:
    await owner.execute("create table cb.new_one (organisation text, x text)")
    await migrate(dsn)
    await fill_new(owner)
    assert await leaks(owner, room) == []
    assert [r["organisation"] for r in await room.fetch("select organisation from cb.new_one")] == [OURS]


async def test_a_connection_that_is_used_again_shows_nothing_of_whom_it_served_before(
    dsn: str, owner: asyncpg.Connection
) -> None:
    async def tokens(pool: WalledPool) -> list[str]:
        async with pool.acquire() as connection:
            rows = await connection.fetch("select organisation, pg_backend_pid() as pid from cb.token")
            pids.update(row["pid"] for row in rows)
            return [row["organisation"] for row in rows]

    pids: set[int] = set()
    async with opened(dsn) as pool:
        for _ in range(2):
            for organisation in (OURS, THEIRS):
                with confined(organisation):
                    assert await tokens(pool) == [organisation]
            with confined(""):
                assert await tokens(pool) == []
        with confined(OURS), pytest.raises(ZeroDivisionError):
            async with pool.acquire() as connection, connection.transaction():
                raise ZeroDivisionError
        with confined(THEIRS):
            assert await tokens(pool) == [THEIRS]
    assert len(pids) == 1


@pytest.mark.parametrize("login", ["superuser", "owner"])
async def test_a_database_of_a_release_without_walls_gets_them_and_goes_on(databases: Databases, login: str) -> None:
    texts = {name: text for name, text in migration_texts().items() if name < "0039"}
    async with (
        owned(databases, f"before_{login}", "nocreaterole") as dsn,
        connected(await databases.migrated()) as root,
    ):
        await root.execute(f"grant {ROOM}, {KEEPER} to before_{login} with inherit false, set true")
        if login == "superuser":
            dsn = await databases.empty()
        async with connected(dsn) as old:
            await old.execute(migrating._BOOTSTRAP)
            for name, text in texts.items():
                await old.execute(text)
                checksum = hashlib.sha256(text.encode()).hexdigest()
                await old.execute("insert into cb.migration (name, sha256) values ($1, $2)", name, checksum)
            await old.execute(suffixed("assignments_tables", 1))
            await old.execute(suffixed("assignments_views", 1))
            await old.execute("insert into rm.projection values ('assignments', 1, $1)", ASSIGNMENTS.layout)
            for parent, name in (("call", "call_20261119"), ("call_content", "content_20261119")):
                days = "('2026-11-19 00:00:00+00') to ('2026-11-20 00:00:00+00')"
                await old.execute(f"create table cb.{name} partition of cb.{parent} for values from {days}")

        await migrate(dsn)

        async with opened(dsn) as pool:
            await establish(pool, PROJECTIONS)
            partitions = Partitions(pool, timedelta(days=1))
            await partitions.keep(datetime(2026, 12, 24, tzinfo=UTC))
            await partitions.make([DAY])
            rebuilds = Rebuilds(pool, PROJECTIONS)
            await rebuilds.begin("assignments")

            async def rebuilt() -> bool:
                return (await rebuilds.state("assignments")).state == "done"

            await eventually(rebuilt)
            await rebuilds.close()
            assert not await pool.fetchval("select to_regclass('cb.call_20261119') is not null")
            with confined(OURS):
                async with pool.acquire() as connection, connected(dsn) as owner:
                    assert await leaks(owner, connection) == []


async def test_the_keeper_sees_all_and_whoever_wants_that_says_so(dsn: str, owner: asyncpg.Connection) -> None:
    async with opened(dsn) as pool:
        every = "select organisation from cb.token order by 1"
        assert [row["organisation"] for row in await pool.fetch(every)] == [OURS, THEIRS]
        with confined(OURS):
            assert [row["organisation"] for row in await pool.fetch(every)] == [OURS]
            assert [row["organisation"] for row in await across(pool).fetch(every)] == [OURS, THEIRS]


async def test_a_room_sees_only_the_persons_who_are_members(
    owner: asyncpg.Connection, room: asyncpg.Connection
) -> None:
    await owner.execute("set session_replication_role = replica")
    for n, organisation in enumerate((OURS, THEIRS)):
        await owner.execute("update cb.member set member = $1 where organisation = $2", f"p{n}", organisation)
        await owner.execute("insert into cb.person (person, email, created_at) values ($1, $1, now())", f"p{n}")
        await owner.execute("insert into cb.login_session values ($1, 'x', $1, now(), now(), now(), null)", f"p{n}")
    for table in OF_PERSONS:
        assert [row["person"] for row in await room.fetch(f"select person from {table}")] == ["p0"]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await room.execute(f"delete from {table}")


async def test_appends_of_several_organisations_share_a_statement_behind_the_walls_of_each(dsn: str) -> None:
    async with opened(dsn) as pool:
        store = EventStore(pool, _nobody)
        for organisation in (OURS, THEIRS, OURS):
            writes = [Write("organisation", (OrganisationCreated(organisation=organisation, title="T"),))]
            await store.append(organisation, new_id(), Done(seq=0), META, writes)
        assert [event.seq for event in await store.read(OURS, 0)] == [1, 2]
        with confined(THEIRS):
            # What is asked for by name is read behind the wall of that name.
            assert len(await store.read(OURS, 0)) == 2
            assert await pool.fetchval("select count(*) from cb.event") == 1
        assert await store.heads() == {OURS: 2, THEIRS: 1}


async def _nobody(organisation: str, seq: int) -> None:
    return None


# --- a Postgres that somebody else manages ----------------------------------------------------------------------


def as_user(dsn: str, user: str) -> str:
    """The same database for another login."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{user}:{quote('secret', safe='')}@"))


@asynccontextmanager
async def owned(databases: Databases, name: str, rights: str) -> AsyncIterator[str]:
    """An empty database that an ordinary login owns."""
    dsn = await databases.empty()
    async with connected(dsn) as superuser:
        await superuser.execute(f"drop role if exists {name}; create role {name} login password 'secret' {rights}")
        await superuser.execute(f"alter database {urlsplit(dsn).path[1:]} owner to {name}")
        yield as_user(dsn, name)


async def test_who_may_not_make_roles_is_told_what_to_have_done(databases: Databases) -> None:
    async with owned(databases, "plain", "nocreaterole") as dsn:
        with pytest.raises(SettingsRefused, match="may not make roles; have its owner run `create role callboard_room"):
            await migrate(dsn)


@pytest.mark.parametrize("made_by", ["itself", "somebody else"])
async def test_an_ordinary_login_migrates_works_backs_up_and_restores(
    databases: Databases, made_by: str, tmp_path: Path
) -> None:
    name = f"login_{made_by.partition(' ')[0]}"
    async with owned(databases, name, "nocreaterole") as dsn, connected(await databases.migrated()) as superuser:
        # "itself": as Postgres does for a login that may create roles, when it creates these.
        what = "admin true, inherit false, set false" if made_by == "itself" else "inherit false, set true"
        await superuser.execute(f"grant {ROOM}, {KEEPER} to {name} with {what}")
        await migrate(dsn)
        async with opened(dsn) as pool:
            await establish(pool, PROJECTIONS)
            store = EventStore(pool, _nobody)
            created = OrganisationCreated(organisation=OURS, title="T")
            await store.append(OURS, new_id(), Done(seq=0), META, [Write("organisation", (created,))])
            with confined(OURS):
                assert await pool.fetchval("select count(*) from cb.event") == 1
        async with connected(dsn) as itself:
            assert await itself.fetchval("select count(*) from cb.event") == 0  # FORCE: owning is not enough
        file = tmp_path / "backup.zip"
        with file.open("wb") as target:
            manifest = await back_up(dsn, target, lambda _: None)
        assert list(manifest.heads) == [OURS]
        assert b"organisation.created" in zipfile.ZipFile(file).read("event.copy")
        async with connected(dsn) as itself:
            await itself.execute("drop schema cb, rm cascade")
        await migrate(dsn)
        assert (await restore(dsn, file, lambda _: None)).heads == manifest.heads


async def test_a_login_that_may_not_act_for_the_rooms_is_told_so(databases: Databases) -> None:
    dsn = await databases.migrated()
    async with connected(dsn) as superuser:
        await superuser.execute("drop role if exists stranger; create role stranger login password 'secret'")
    with pytest.raises(SettingsRefused, match="grant callboard_room, callboard_keeper to USER"):
        await open_pool(as_user(dsn, "stranger"), 2, within=0.2)


def test_a_leak_names_what_and_how() -> None:
    assert Leak("cb.token", "select") == ("cb.token", "select")
