"""The rows of the log as evidence, page by page."""

from __future__ import annotations

import asyncpg

from callboard.contracts.audit import LogRow, LogRows, Witness
from callboard.contracts.problems import Problem
from callboard.platform.postgres import persist, sql

_HERE = "callboard_projections"
MOST_ROWS = 1000
MOST_BYTES = 512 * 1024


async def log_rows(pool: asyncpg.Pool, organisation: str, after: int, limit: int) -> LogRows:
    """At most `limit` rows and about 512 KiB, at least one where there is one; raises `organisation.unknown`."""
    head = await persist(lambda: pool.fetchrow(sql(_HERE, "audited_head"), organisation))
    if head is None:
        raise Problem("organisation.unknown", f"there is no organisation {organisation!r}", organisation=organisation)
    position = max(0, min(after, head["seq"]))
    upto = min(head["seq"], position + max(1, min(limit, MOST_ROWS)))
    found = await persist(lambda: pool.fetch(sql(_HERE, "audited_rows"), organisation, position, upto))
    rows: list[LogRow] = []
    size = 0
    for row in map(_row, found):
        size += len(row.payload) + len(row.meta) + 400
        if rows and size > MOST_BYTES:
            break
        rows.append(row)
    return LogRows(rows=tuple(rows), head=Witness(seq=head["seq"], hash=head["hash"].hex()))


def _row(row: asyncpg.Record) -> LogRow:
    return LogRow(
        seq=row["seq"],
        event_id=str(row["event_id"]),
        stream=row["stream"],
        version=row["version"],
        type=row["type"],
        schema_version=row["schema_version"],
        payload=row["payload"],
        meta=row["meta"],
        command_id=str(row["command_id"]),
        recorded_at=row["recorded_at"],
        prev_hash=row["prev_hash"].hex(),
        hash=row["hash"].hex(),
    )
