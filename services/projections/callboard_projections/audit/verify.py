"""Verify the chain of one organisation or of all, on one snapshot, while appends go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import asyncpg

from callboard.contracts.audit import AuditVerdict, ChainVerdict, Witness
from callboard.contracts.problems import Problem
from callboard.kernel.chain import Chain, Head, Link
from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql

BATCH = 200
_HERE = "callboard_projections"


async def verify(pool: asyncpg.Pool, organisation: str, witnesses: Iterable[Witness] = ()) -> AuditVerdict:
    """The verdict on the log of an organisation (empty: of all); raises `organisation.unknown`.

    `witnesses` say which hashes events of that one organisation had.
    """
    known = {witness.seq: witness.hash for witness in witnesses}
    rows = await persist(lambda: pool.fetch(sql(_HERE, "audited_organisations")))
    names = [row["organisation"] for row in rows]
    if organisation:
        if organisation not in names:
            raise Problem("organisation.unknown", f"there is no organisation {organisation!r}")
        names = [organisation]
    chains = [await _verdict(pool, name, known) for name in names]
    return AuditVerdict(chains=tuple(chains), intact=all(chain.intact for chain in chains))


async def _verdict(pool: asyncpg.Pool, organisation: str, known: Mapping[int, str]) -> ChainVerdict:
    chain = await persist(lambda: _chain_of(pool, organisation, known))
    broken = chain.broken
    return ChainVerdict(
        organisation=organisation,
        events=chain.seq,
        seq=chain.seq,
        head=chain.hash.hex(),
        intact=broken is None,
        broken_at=broken.seq if broken is not None else None,
        reason=broken.reason if broken is not None else "",
    )


async def _chain_of(pool: asyncpg.Pool, organisation: str, known: Mapping[int, str]) -> Chain:
    chain = Chain(organisation, known)
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        head = await _head(connection, organisation)
        cursor = await connection.cursor(sql(_HERE, "audited_events"), organisation)
        while chain.broken is None and (rows := await cursor.fetch(BATCH)):
            # About 2 ms of hashing, then others are answered. A thread would hold the GIL longer at a time.
            chain.extend(Link(*row) for row in rows)
    chain.close(head)
    return chain


async def _head(connection: Connection, organisation: str) -> Head:
    row = await connection.fetchrow(sql(_HERE, "audited_head"), organisation)
    streams = await connection.fetch(sql(_HERE, "audited_streams"), organisation)
    return Head(
        seq=row["seq"] if row is not None else None,
        hash=row["hash"] if row is not None else b"",
        read_up_to=row["read_up_to"] if row is not None else 0,
        streams={stream["stream"]: stream["version"] for stream in streams},
    )
