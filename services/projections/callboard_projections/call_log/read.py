"""The questions that the call log answers."""

from __future__ import annotations

import asyncpg

from callboard.contracts.calls import decode_record
from callboard.contracts.records import Calls
from callboard.platform.postgres import persist, sql

_HERE = "callboard_projections"
MOST_CALLS = 1000


async def recent_calls(pool: asyncpg.Pool, organisation: str, playbook: str, call_id: str, limit: int) -> Calls:
    """Records of an organisation, newest first, of the last 24 hours; of any time when asked by `call_id`."""
    wanted = max(1, min(limit, MOST_CALLS))
    if call_id:
        rows = await persist(lambda: pool.fetch(sql(_HERE, "ask_call"), organisation, call_id, wanted))
    else:
        rows = await persist(lambda: pool.fetch(sql(_HERE, "ask_calls"), organisation, playbook, wanted))
    return Calls(calls=tuple(decode_record(row["record"]) for row in rows))
