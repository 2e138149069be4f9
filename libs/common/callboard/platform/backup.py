"""A backup: the tables that are the truth, as of one moment, in one file; and back into an empty database.

The file is a ZIP with one `<table>.copy` for each table (Postgres's text format of COPY, so that another Postgres
version reads it) and a `manifest.json`, written last, with columns, row counts, SHA-256s and the heads of the logs.
Not in it: read models and positions (folded again from the log), and the vault's key file, without which nobody can
open the secrets in it: keep that apart.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Final

import asyncpg
import msgspec

import callboard
from callboard.kernel.chain import Chain, Head, Link
from callboard.platform.migration_texts import migration_texts
from callboard.platform.postgres import sql
from callboard.platform.walls import KEEPER

FORMAT: Final = "callboard-backup-1"
_HERE: Final = "callboard.platform"
_MANIFEST: Final = "manifest.json"
_PIECE: Final = 1024 * 1024
_MANIFEST_BYTES: Final = 16 * 1024 * 1024
_ROWS: Final = 500
CALLS: Final = {"call": "call_", "call_content": "content_"}
"""The tables of call records -> how the partition of a day is called."""
GRANTS: Final = ("upstream_grant", "upstream_client")
"""Sealed, as secrets are; a sign-in under way is left out."""
# In the order that a restore fills them. Positions of consumers and what is derived are left out on purpose.
TABLES: Final = (
    "log_head",
    "stream",
    "command",
    "event",
    "data_key",
    "secret",
    "webhook",
    "person_key",
    "signing_key",
    "token",
    "consumer",
    "person",
    "external_identity",
    "member",
    "invitation",
    "oauth_client",
    "oauth_grant",
    "oauth_refresh",
    "poison_event",
    *GRANTS,
    *CALLS,
)
Say = Callable[[str], None]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a backup."""

    columns: tuple[str, ...]
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a backup. `heads`: organisation -> [seq, hash] of its log; `days`: those that have call records."""

    format: str
    made_at: datetime
    version: str
    migrations: tuple[str, ...]
    tables: dict[str, Table]
    heads: dict[str, tuple[int, str]]
    days: tuple[date, ...] = ()


class BadBackup(Exception):
    """The file is no backup, or not the one that was made; the text says why."""


class NotEmpty(Exception):
    """The database holds a log already."""


async def back_up(dsn: str, file: IO[bytes], say: Say, *, calls: bool = True) -> Manifest:
    """Write a backup of a running or stopped installation's database; nothing is locked meanwhile."""
    connection = await _connected(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
                manifest = await _write(connection, archive, say, calls)
    finally:
        await connection.close()
    return manifest


async def _connected(dsn: str) -> asyncpg.Connection:
    """As the keeper: whoever owns the tables sees nothing in them, and would back up nothing."""
    return await asyncpg.connect(dsn, timeout=10, server_settings={"role": KEEPER})


async def _write(connection: asyncpg.Connection, archive: zipfile.ZipFile, say: Say, calls: bool) -> Manifest:
    heads = await connection.fetch(sql(_HERE, "backup_heads"))
    days = await connection.fetch(sql(_HERE, "backup_days")) if calls else []
    tables = {}
    for name in TABLES:
        if name not in CALLS or calls:
            tables[name] = await _write_table(connection, archive, name)
            say(f"{name}: {tables[name].bytes:,} bytes")
    manifest = Manifest(
        format=FORMAT,
        made_at=datetime.now(UTC),
        version=callboard.__version__,
        migrations=tuple(migration_texts()),
        tables=tables,
        heads={row["organisation"]: (row["seq"], row["hash"].hex()) for row in heads},
        days=tuple(row["day"] for row in days),
    )
    archive.writestr(_MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


async def _write_table(connection: asyncpg.Connection, archive: zipfile.ZipFile, name: str) -> Table:
    rows = await connection.fetch(sql(_HERE, "backup_columns"), name)
    columns = tuple(row["column_name"] for row in rows)
    digest, size = hashlib.sha256(), 0
    with archive.open(f"{name}.copy", "w", force_zip64=True) as member:

        async def take(data: bytes) -> None:
            nonlocal size
            digest.update(data)
            size += len(data)
            member.write(data)

        query = sql(_HERE, "backup_rows").replace("{columns}", _quoted(columns)).replace("{table}", name)
        await connection.copy_from_query(query, output=take)
    return Table(columns=columns, bytes=size, sha256=digest.hexdigest())


def _quoted(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def read_manifest(archive: zipfile.ZipFile) -> Manifest:
    """What a file says of itself; raises `BadBackup`."""
    try:
        if archive.getinfo(_MANIFEST).file_size > _MANIFEST_BYTES:
            raise BadBackup("its manifest is too large to be one")
        found = msgspec.json.decode(archive.read(_MANIFEST), type=Manifest)
    except (KeyError, msgspec.DecodeError, zipfile.BadZipFile):
        raise BadBackup("it has no readable manifest: it is no backup, or was cut off") from None
    if found.format != FORMAT:
        raise BadBackup(f"its format is {found.format}, and this version reads {FORMAT}")
    newer = [name for name in found.migrations if name not in migration_texts()]
    if newer:
        raise BadBackup(f"Callboard {found.version} made it, which is newer than this one: it knows {newer[0]}")
    return found


async def restore(dsn: str, path: Path, say: Say, erased: Collection[tuple[str, str]] = ()) -> Manifest:
    """Fill an empty, migrated database, check every chain, and only then commit.

    `erased`: (organisation, person), erased after the backup was made; their keys are not brought back. Raises
    `BadBackup`, or `NotEmpty` when there is a log already.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise BadBackup("it is no backup") from None
    with archive:
        manifest = read_manifest(archive)
        connection = await _connected(dsn)
        try:
            async with connection.transaction():
                await _fill(connection, archive, manifest, say)
                await _erase(connection, erased, say)
                await _check_chains(connection, manifest, say)
        finally:
            await connection.close()
    return manifest


async def _fill(connection: asyncpg.Connection, archive: zipfile.ZipFile, manifest: Manifest, say: Say) -> None:
    await connection.execute(sql(_HERE, "restore_lock"))
    if await connection.fetchval(sql(_HERE, "restore_is_taken")):
        raise NotEmpty
    for day in manifest.days:
        for parent, prefix in CALLS.items():
            # A date and nothing else: it stands in the text of a statement.
            text = sql(_HERE, "restore_day").replace("{parent}", parent).replace("{day}", day.isoformat())
            await connection.execute(text.replace("{name}", f"{prefix}{day:%Y%m%d}"))
    for name, table in manifest.tables.items():
        if name not in TABLES:
            raise BadBackup(f"it has a table {name} that no backup has")
        known = {row["column_name"] for row in await connection.fetch(sql(_HERE, "backup_columns"), name)}
        if unknown := sorted(set(table.columns) - known):
            raise BadBackup(f"its table {name} has a column {unknown[0]!r} that no such table has")
        digest = hashlib.sha256()
        source = _pieces(archive, name, digest.update, table.bytes)
        try:
            await _take(connection, name, table.columns, source)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            raise BadBackup(f"{name}.copy does not fit its table: {type(error).__name__}") from None
        if digest.hexdigest() != table.sha256:
            raise BadBackup(f"{name}.copy is not what the manifest says")
        say(f"{name}: {table.bytes:,} bytes")


async def _take(
    connection: asyncpg.Connection, name: str, columns: tuple[str, ...], source: AsyncIterator[bytes]
) -> None:
    """By way of a table of this session: COPY does not write to a table with row-level security."""
    await connection.execute(sql(_HERE, "restore_incoming").replace("{table}", name))
    await connection.copy_to_table(f"incoming_{name}", source=source, columns=list(columns))
    text = sql(_HERE, "restore_rows").replace("{columns}", _quoted(columns))
    await connection.execute(text.replace("{table}", name))


async def _erase(connection: asyncpg.Connection, erased: Collection[tuple[str, str]], say: Say) -> None:
    for organisation, person in sorted(erased):
        for statement in ("restore_revoked", "restore_grants", "restore_addresses", "restore_accounts"):
            await connection.execute(sql(_HERE, statement), organisation, person)
        if await connection.fetchval(sql(_HERE, "restore_erased"), organisation, person):
            say(f"{organisation}: erased {person} again")


async def _pieces(
    archive: zipfile.ZipFile, name: str, heard: Callable[[bytes], None], size: int
) -> AsyncIterator[bytes]:
    try:
        with archive.open(f"{name}.copy") as member:
            while piece := member.read(_PIECE):
                size -= len(piece)
                if size < 0:
                    raise BadBackup(f"{name}.copy is larger than the manifest says")
                heard(piece)
                yield piece
    except (KeyError, zipfile.BadZipFile):
        raise BadBackup(f"{name}.copy is missing or damaged") from None


async def _check_chains(connection: asyncpg.Connection, manifest: Manifest, say: Say) -> None:
    """Every chain that is there now, whatever the manifest names; and both must name the same."""
    rows = await connection.fetch(sql(_HERE, "backup_heads"))
    found_heads = {row["organisation"]: (row["seq"], row["hash"].hex()) for row in rows}
    if found_heads != manifest.heads:
        raise BadBackup("the heads of its logs are not those that its manifest names")
    for organisation, (seq, head) in found_heads.items():
        chain = Chain(organisation)
        cursor = await connection.cursor(sql(_HERE, "restored_events"), organisation)
        while chain.broken is None and (rows := await cursor.fetch(_ROWS)):
            chain.extend(Link(*row) for row in rows)
        found = Head(seq=seq, hash=bytes.fromhex(head), read_up_to=seq, streams=chain.versions)
        broken = chain.close(found)
        if broken is not None:
            raise BadBackup(f"the log of {organisation} is broken at {broken.seq}: {broken.reason}")
        say(f"{organisation}: {seq} events, the chain is intact")
