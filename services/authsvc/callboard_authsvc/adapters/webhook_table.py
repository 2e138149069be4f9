"""The tables `cb.webhook` and `cb.webhook_delivery`: where events are sent, how far, and what became of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import asyncpg

from callboard.contracts.webhooks import Delivery, State, WebhookLine
from callboard.platform.event_store import Connection
from callboard.platform.postgres import persist, sql
from callboard_authsvc.adapters.secret_table import SealedSecret, secret_of_row
from callboard_authsvc.webhooks.due import Claim, Target

_PACKAGE = "callboard_authsvc"
KEPT = 200
"""Attempts of each webhook that are listed."""


class WebhookTable:
    """Reads wait for a database that restarts; what follows from a decision is written in the caller's transaction.

    The clock of leases and pauses is the database's: instances need not agree on the time.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def insert(
        self, connection: Connection, organisation: str, webhook: str, url: str, kinds: Sequence[str]
    ) -> None:
        """A new one; it begins behind the newest event."""
        await connection.execute(sql(_PACKAGE, "webhook_insert"), organisation, webhook, url, list(kinds))

    async def switch(self, connection: Connection, organisation: str, webhook: str, state: State) -> None:
        """On, paused or disabled; whoever sends for it stops, and resuming forgets the failures."""
        await connection.execute(sql(_PACKAGE, "webhook_switch"), organisation, webhook, state)

    async def replay(self, connection: Connection, organisation: str, webhook: str, first: int, last: int) -> None:
        """Send this range before anything else."""
        await connection.execute(sql(_PACKAGE, "webhook_replay"), organisation, webhook, first, last)

    async def overlap(self, connection: Connection, organisation: str, webhook: str, seconds: int) -> None:
        """Sign with the older secret as well for so long."""
        await connection.execute(sql(_PACKAGE, "webhook_overlap"), organisation, webhook, seconds)

    async def delete(self, connection: Connection, organisation: str, webhook: str) -> None:
        """With its deliveries."""
        await connection.execute(sql(_PACKAGE, "webhook_delete"), organisation, webhook)

    async def next_secret(self, connection: Connection, organisation: str, secret: str) -> int:
        """The version that its next secret gets."""
        found: int = await connection.fetchval(sql(_PACKAGE, "webhook_next_secret"), organisation, secret)
        return found

    async def forget_secrets(self, connection: Connection, organisation: str, secret: str, oldest: int) -> None:
        """Delete the versions before `oldest`."""
        await connection.execute(sql(_PACKAGE, "webhook_forget_secrets"), organisation, secret, oldest)

    async def secrets(self, organisation: str, secret: str, count: int) -> list[SealedSecret]:
        """The newest versions."""
        text = sql(_PACKAGE, "webhook_secrets")
        return [
            secret_of_row(row) for row in await persist(lambda: self._pool.fetch(text, organisation, secret, count))
        ]

    async def all(self, organisation: str) -> list[WebhookLine]:
        """By name."""
        rows = await persist(lambda: self._pool.fetch(sql(_PACKAGE, "webhook_lines"), organisation))
        return [WebhookLine(**{**dict(row), "kinds": tuple(row["kinds"])}) for row in rows]

    async def target(self, organisation: str, webhook: str) -> Target | None:
        """Where it sends to."""
        row = await persist(lambda: self._pool.fetchrow(sql(_PACKAGE, "webhook_target"), organisation, webhook))
        return None if row is None else Target(organisation, webhook, row["url"], row["both"])

    async def deliveries(self, organisation: str, webhook: str, limit: int) -> list[Delivery]:
        """The newest first."""
        text = sql(_PACKAGE, "webhook_deliveries")
        rows = await persist(lambda: self._pool.fetch(text, organisation, webhook, limit))
        return [Delivery(**dict(row)) for row in rows]

    async def note(self, organisation: str, webhook: str, delivery: Delivery) -> None:
        """Keep an attempt, and the newest `KEPT` of the webhook."""
        values = (delivery.seq, delivery.kind, delivery.attempt, delivery.at)
        outcome = (delivery.status, delivery.problem, delivery.took_ms)
        await self._pool.execute(sql(_PACKAGE, "webhook_note"), organisation, webhook, *values, *outcome, KEPT)

    async def claim(self, lease: uuid.UUID, seconds: float, limit: int, of_one: int) -> list[Claim]:
        """Webhooks with something to send that nobody sends for, at most `limit`, for so many seconds.

        With those that are claimed already at most `of_one` of each organisation.
        """
        rows = await self._pool.fetch(sql(_PACKAGE, "webhook_claim"), lease, seconds, limit, of_one)
        return [Claim(**{**dict(row), "kinds": tuple(row["kinds"]), "lease": lease}) for row in rows]

    async def advance(self, claim: Claim, seq: int, seconds: float) -> Claim | None:
        """Keep that it is done with this event, and renew the lease. None: it is not to go on, or the lease is lost."""
        places = (None, seq + 1) if claim.replays else (seq, None)
        values = (claim.organisation, claim.webhook, claim.lease, *places, claim.replay_last, seconds)
        row = await self._pool.fetchrow(sql(_PACKAGE, "webhook_advance"), *values)
        return claim.moved(seq, row["both"]) if row is not None and row["goes_on"] else None

    async def release(self, claim: Claim) -> None:
        """Let others send for it, behind those that wait; nothing happens when the lease is lost."""
        await self._pool.execute(sql(_PACKAGE, "webhook_release"), claim.organisation, claim.webhook, claim.lease)

    async def put_off(self, claim: Claim, pause: float, problem: str) -> float | None:
        """Try again after `pause` seconds; for how many seconds it fails already, None when the lease is lost."""
        values = (claim.organisation, claim.webhook, claim.lease, pause, problem)
        failing = await self._pool.fetchval(sql(_PACKAGE, "webhook_put_off"), *values)
        return None if failing is None else float(failing)

    async def disabled(self) -> int:
        """How many were given up."""
        found: int = await self._pool.fetchval(sql(_PACKAGE, "webhook_disabled"))
        return found
