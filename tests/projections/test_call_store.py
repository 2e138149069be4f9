"""Rows that are written into the call log: refused ones, known ones, and those of several writers at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from callboard.contracts.calls import CallContent
from callboard.platform.postgres import open_pool
from callboard_projections.call_log.domain import COLUMNS, PARENTS, row_of
from callboard_projections.call_log.partitions import Partitions
from callboard_projections.call_log.store import CallStore
from tests.projections.stack import Log, call_record
from tests.support.waiting import eventually

KEEP = timedelta(days=30)


async def test_a_row_that_postgres_refuses_costs_nothing_but_itself(log: Log) -> None:
    partitions = Partitions(log.pool, KEEP)
    records = [call_record(f"c{number}") for number in range(9)]
    rows = [row_of(record) for record in records]
    version = COLUMNS.index("version")
    rows[4] = (*rows[4][:version], 2**40, *rows[4][version + 1 :])

    assert await CallStore(log.pool, partitions).write(rows) == (8, 1)
    assert await log.pool.fetchval("select count(*) from cb.call") == 8


async def test_text_with_a_nul_is_stored(log: Log) -> None:
    record = call_record("c1", tool="a\x00b")
    row = row_of(record)

    assert await CallStore(log.pool, Partitions(log.pool, KEEP)).write([row]) == (1, 0)
    assert await log.pool.fetchval("select tool from cb.call") == "a\ufffdb"


async def test_of_rows_that_are_there_in_part_only_the_new_ones_are_written(log: Log) -> None:
    content = CallContent(arguments={"n": 1})
    rows = [row_of(call_record(f"c{number}", content=content if number % 2 else None)) for number in range(6)]
    store = CallStore(log.pool, Partitions(log.pool, KEEP))

    assert await store.write(rows[:3]) == (3, 0)
    assert await store.write(rows) == (3, 0)
    assert await store.write([*rows[4:], row_of(call_record("c6", tool="another")), rows[0]]) == (1, 0)
    assert await log.pool.fetchval("select count(*) from cb.call") == 7
    assert await log.pool.fetchval("select array_agg(call_id order by call_id) from cb.call_content") == [
        "c1",
        "c3",
        "c5",
    ]


async def test_the_same_new_row_twice_is_written_once(log: Log) -> None:
    row, other = row_of(call_record("c1")), row_of(call_record("c2"))
    store = CallStore(log.pool, Partitions(log.pool, KEEP))

    assert await store.write([row, other, row]) == (2, 0)
    assert await log.pool.fetchval("select count(*) from cb.call") == 2


async def test_records_are_written_where_the_wall_binds_the_owner_too_as_before_0042(dsn: str) -> None:
    pool = await open_pool(dsn, 2)
    for table in PARENTS:
        await pool.execute(f"alter table cb.{table} force row level security")
    rows = [row_of(call_record(f"c{number}", content=CallContent(arguments={}))) for number in range(3)]

    assert await CallStore(pool, Partitions(pool, KEEP)).write(rows) == (3, 0)
    assert await pool.fetchval("select count(*) from cb.call join cb.call_content using (call_id)") == 3
    await pool.close()


@pytest.mark.parametrize("known", [False, True])
async def test_writers_with_the_same_records_in_opposite_order_wait_for_each_other(log: Log, known: bool) -> None:
    first, *rows = [row_of(call_record(f"c{number}", started_at=datetime.now(UTC))) for number in range(4)]
    store = CallStore(log.pool, Partitions(log.pool, KEEP))
    assert await store.write([first]) == (1, 0)
    rows = [first, *rows] if known else rows  # one that is there already: both take the way that is for those

    async def both_wait() -> bool:
        waiting = (
            "select count(*) = 2 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        return bool(await log.pool.fetchval(waiting))

    # The one in the middle is held until each writer has what it begins with.
    async with log.pool.acquire() as holder:
        middle = holder.transaction()
        await middle.start()
        await holder.copy_records_to_table("call", schema_name="cb", records=[rows[-2][:-1]], columns=COLUMNS)
        writers = asyncio.gather(store.write(rows), store.write(rows[::-1]))
        await eventually(both_wait)
        await middle.rollback()
        written = await writers

    assert sorted(written) == [(0, 0), (3, 0)]
