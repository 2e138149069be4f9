"""A call log that was written before its records were columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec

from callboard.contracts.calls import CallRecord, encode_record
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.platform.migration_texts import migration_texts
from callboard_projections.call_log.domain import row_of
from callboard_projections.call_log.partitions import Partitions
from callboard_projections.call_log.read import record_of
from callboard_projections.call_log.store import CallStore
from tests.projections.stack import call_record

AT = datetime.now(UTC)
MIGRATION = "0006_call_columns.sql"
OLD = """
create table cb.call_{day:%Y%m%d} (like cb.call including defaults);
alter table cb.call attach partition cb.call_{day:%Y%m%d} for values from ('{day:%Y-%m-%d}') to ('{next:%Y-%m-%d}')
"""
INSERT = """
insert into cb.call (started_at, call_id, organisation, playbook, version, method, server, tool, digest, client, era,
outcome, total_us, record) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
"""


async def test_records_that_were_kept_as_json_are_columns_now_and_nothing_of_them_is_lost(tmp_path: Path) -> None:
    full = call_record(
        "full", started_at=AT, upstream_name="a\x00b", upstream_era="2026-07-28", error_code=-32000, problem="a.b",
        router_us=1, upstream_us=2, request_bytes=3, response_bytes=4, trace_id=32 * "1", connector='c"\\u0000',
    )  # fmt: skip
    bare = call_record("bare", started_at=AT - timedelta(seconds=1))
    with EmbeddedPostgres(tmp_path / "pg") as server:
        connection = await asyncpg.connect(server.dsn)
        await connection.execute("create schema cb")
        texts = migration_texts()
        for name, text in texts.items():
            if name < MIGRATION:
                await connection.execute(text)
        for day in {AT.date(), bare.started_at.date()}:
            await connection.execute(OLD.format(day=day, next=day + timedelta(days=1)))
        for record in (full, bare):
            await connection.execute(INSERT, *_as_before(record))

        await connection.execute(texts[MIGRATION])

        pool = await asyncpg.create_pool(server.dsn, min_size=1, max_size=2)
        rows = await connection.fetch("select * from cb.call order by started_at desc")
        # A column cannot hold the character; what only looks like it is left alone.
        assert [record_of(row) for row in rows] == [msgspec.structs.replace(full, upstream_name="a\ufffdb"), bare]
        again = await CallStore(pool, Partitions(pool, timedelta(days=3))).write([row_of(full), row_of(bare)])
        assert again == (0, 0), "both are known to be there"
        await pool.close()
        await connection.close()


def _as_before(record: CallRecord) -> tuple[object, ...]:
    names = "started_at call_id organisation playbook version method server tool digest client era outcome total_us"
    values = tuple(msgspec.structs.asdict(record)[name] for name in names.split())
    return (*values, encode_record(record).decode())
