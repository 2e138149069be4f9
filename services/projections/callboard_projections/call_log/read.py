"""The questions that the call log answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from callboard.contracts.calls import CallContent, CallRecord
from callboard.contracts.connected import RecentClient, RecentClients
from callboard.contracts.problems import Problem
from callboard.contracts.records import AskCalls, Calls
from callboard.kernel.call_ids import time_of_call
from callboard.platform.postgres import persist, sql
from callboard_projections.call_log.domain import cursor_after, position_of

_HERE = "callboard_projections"
_content = msgspec.json.Decoder(CallContent).decode
MOST_CALLS = 1000
MOST_ARGUMENTS = 400_000
"""Bytes of arguments in one answer: it has to fit into a message of the bus, also of one with the usual limit."""
DAY = timedelta(hours=24)
_INT4, _INT8 = 2**31 - 1, 2**63 - 1


class CallReads:
    """Looks calls up, one by one or page by page; a search ends after `patience` (as Postgres writes times)."""

    def __init__(self, pool: asyncpg.Pool, patience: str = "8s") -> None:
        self._pool = pool
        self._patience = patience

    async def calls(self, question: AskCalls) -> Calls:
        """What was asked; raises `argument.invalid` for a cursor that is none and `calls.too_many`."""
        if question.call_id:
            return await self._one(question)
        if question.version and not question.playbook:
            raise Problem("argument.invalid", "a version is one of a playbook: name that too")
        limit = max(1, min(question.limit, MOST_CALLS))
        try:
            rows = await persist(lambda: self._page(question, limit))
        except asyncpg.QueryCanceledError:
            raise Problem(
                "calls.too_many", "the search took too long: give it a shorter time or more filters"
            ) from None
        found = tuple(record_of(row) for row in rows)
        if question.arguments and found:
            found = await self._with_arguments(question.organisation, found)
        return Calls(calls=found, cursor=cursor_after(found[-1]) if len(found) == limit else "")

    async def _with_arguments(self, organisation: str, found: tuple[CallRecord, ...]) -> tuple[CallRecord, ...]:
        """What is over `MOST_ARGUMENTS` is left out, as what was too long to be kept is."""
        times = [record.started_at for record in found]
        values = (organisation, min(times), max(times), [record.call_id for record in found])
        rows = await persist(lambda: self._pool.fetch(sql(_HERE, "ask_contents"), *values))
        kept, room = dict[str, CallContent](), MOST_ARGUMENTS
        for row in rows:
            content = msgspec.structs.replace(_content(row["content"]), result=None)
            room -= len(msgspec.json.encode(content))
            kept[row["call_id"]] = content if room >= 0 else CallContent(omitted=("arguments",))
        return tuple(msgspec.structs.replace(record, content=kept.get(record.call_id)) for record in found)

    async def recent_clients(self, organisation: str, playbook: str, minutes: int) -> RecentClients:
        """Who called anything of a playbook in the last `minutes` (at most a day's), by version."""
        values = (organisation, playbook, max(0, min(minutes, 1440)))
        rows = await persist(lambda: self._pool.fetch(sql(_HERE, "ask_recent_clients"), *values))
        return RecentClients(clients=tuple(RecentClient(**dict(row)) for row in rows))

    async def _page(self, question: AskCalls, limit: int) -> list[asyncpg.Record]:
        until = question.until or datetime.max.replace(tzinfo=UTC)
        since = question.since or (question.until or datetime.now(UTC)) - DAY
        at, call_id = position_of(question.cursor)
        values = (
            question.organisation, since, until, at, call_id, question.playbook, min(question.version, _INT4),
            question.tool, question.server, question.client, question.principal, question.era, question.outcome,
            question.digest, question.trace_id, min(question.min_us, _INT8), limit,
        )  # fmt: skip
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            await connection.execute(sql(_HERE, "search_plan"), self._patience)
            rows: list[asyncpg.Record] = await connection.fetch(sql(_HERE, "ask_calls"), *values)
        return rows

    async def _one(self, question: AskCalls) -> Calls:
        at = time_of_call(question.call_id)
        if at is None:
            return Calls(calls=())
        values = (question.organisation, at, at + timedelta(milliseconds=1), question.call_id)
        rows = await persist(lambda: self._pool.fetch(sql(_HERE, "ask_call"), *values))
        return Calls(calls=tuple(record_of(row) for row in rows))


def record_of(row: asyncpg.Record) -> CallRecord:
    """The record of a row, with its content where that was asked for and kept."""
    values = dict(row)
    content = values.pop("content", None)
    return CallRecord(**values, content=None if content is None else _content(content))
