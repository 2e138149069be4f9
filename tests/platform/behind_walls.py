"""What the role of rooms gets at: every table and view of the catalogue, tried with rows of two organisations."""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

import asyncpg

DAY = date(2026, 11, 20)
OURS, THEIRS = "ours", "theirs"
_SAMPLES = {
    "text": "'x' || {n}",
    "text[]": "'{{}}'",
    "bytea": "convert_to('x' || {n}, 'UTF8')",
    "bigint": "{n}",
    "integer": "{n}",
    "smallint": "{n}",
    "double precision": "{n}",
    "boolean": "false",
    "uuid": "gen_random_uuid()",
    "timestamp with time zone": f"timestamptz '{DAY} 10:00:00+00'",
    "date": f"date '{DAY}' + {{n}}",
    "json": "'{{}}'",
    "jsonb": "'{{}}'",
}
_WHERE_ONLY_SOME_WILL_DO = {
    ("member", "kind"): "'person'",
    ("poison_event", "state"): "'stopped'",
    ("person_key", "erased_at"): "null",
    ("oauth_client", "kind"): "'dynamic'",
    ("oauth_grant", "means"): "'consent'",
    ("webhook", "state"): "'on'",
}
_RELATIONS = """
select c.oid::regclass::text as name, c.relname, c.relkind::text as kind, c.relispartition as is_partition,
  c.relrowsecurity and (c.relforcerowsecurity or pg_get_userbyid(c.relowner) = 'callboard_keeper') as is_walled,
  exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'organisation' and not a.attisdropped)
    as has_organisation,
  has_table_privilege('callboard_room', c.oid, 'select') as readable,
  has_table_privilege('callboard_room', c.oid, 'insert') or has_table_privilege('callboard_room', c.oid, 'update')
    or has_table_privilege('callboard_room', c.oid, 'delete')
    or has_table_privilege('callboard_room', c.oid, 'truncate') as writable
from pg_class c
where c.relnamespace in ('cb'::regnamespace, 'rm'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by 1
"""
_COLUMNS = """
select a.attname as name, format_type(a.atttypid, null) as type from pg_attribute a
where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  and a.attidentity = '' order by a.attnum
"""
OF_PERSONS = {"cb.person", "cb.login_session"}
"""Of nobody's organisation, and shown to those that the person is a member of."""


class Leak(NamedTuple):
    """What somebody gets at who should not."""

    relation: str
    how: str


async def relations(owner: asyncpg.Connection) -> list[asyncpg.Record]:
    """Every table, partition and view."""
    found: list[asyncpg.Record] = await owner.fetch(_RELATIONS)
    return found


async def fill(owner: asyncpg.Connection) -> None:
    """A row of each organisation in every table that says whose its rows are; triggers and references are off."""
    await owner.execute("set session_replication_role = replica")
    for relation in await relations(owner):
        if relation["kind"] in "rp" and relation["has_organisation"] and not relation["is_partition"]:
            for n, organisation in enumerate((OURS, THEIRS), 1):
                await owner.execute(await _insert(owner, relation, organisation, n))
    await owner.execute("set session_replication_role = origin")


async def _insert(connection: asyncpg.Connection, relation: Any, organisation: str, n: int) -> str:
    values = {}
    for column in await connection.fetch(_COLUMNS, relation["name"]):
        given = _WHERE_ONLY_SOME_WILL_DO.get((relation["relname"].rstrip("_0123456789"), column["name"]))
        # A type without a sample is a KeyError: whoever adds one adds it here too.
        values[column["name"]] = given or _SAMPLES[column["type"]].format(n=n)
    values["organisation"] = f"'{organisation}'"
    columns = ", ".join(f'"{name}"' for name in values)
    return f"insert into {relation['name']} ({columns}) values ({', '.join(values.values())})"


async def leaks(owner: asyncpg.Connection, room: asyncpg.Connection) -> list[Leak]:
    """What a room gets at that is confined to `OURS`, by statements without any filter; and what has no wall."""
    found = []
    for relation in await relations(owner):
        name = relation["name"]
        if relation["kind"] in "rp" and relation["has_organisation"] and not relation["is_partition"]:
            found += [] if relation["is_walled"] else [Leak(name, "no wall")]
            found += await _tries(owner, room, relation)
        elif relation["kind"] == "v":
            found += await _read(room, name)
        elif name not in OF_PERSONS and (relation["readable"] or relation["writable"]):
            found.append(Leak(name, "open to rooms, although nothing says whose its rows are"))
    return found


async def _tries(owner: asyncpg.Connection, room: asyncpg.Connection, relation: Any) -> list[Leak]:
    name, found = relation["name"], await _read(room, relation["name"])
    for how in (f"delete from {name}", f"update {name} set organisation = organisation"):
        if set(await _done(room, f"{how} returning organisation")) - {OURS}:
            found.append(Leak(name, how))
    theirs = await _insert(owner, relation, THEIRS, 3)
    for how in (theirs, f"update {name} set organisation = '{THEIRS}'"):
        if await _done(room, f"{how} returning organisation"):
            found.append(Leak(name, how))
    return found


async def _read(room: asyncpg.Connection, name: str) -> list[Leak]:
    """One row is its own. A view of something else than an organisation's rows is not among those that there are."""
    seen = await _done(room, f"select organisation from {name}")
    await room.execute("select set_config('callboard.organisation', '', false)")
    of_nobody = await _done(room, f"select organisation from {name}")
    await room.execute("select set_config('callboard.organisation', $1, false)", OURS)
    return [Leak(name, "select")] if set(seen) - {OURS} or of_nobody else []


async def _done(room: asyncpg.Connection, statement: str) -> list[str]:
    """The organisations of the rows that it got at, and nothing stays changed; none when it is refused."""
    change = room.transaction()
    await change.start()
    try:
        return [row["organisation"] for row in await room.fetch(statement)]
    except asyncpg.InsufficientPrivilegeError:
        return []
    finally:
        await change.rollback()
