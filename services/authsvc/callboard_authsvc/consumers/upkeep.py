"""Keep NATS in step with the rows: whoever is dismissed is refused, whoever is admitted gets in and has its durables.

Done at start, after every reconnect (the server may come back with less than it had) and after a dismissal
that NATS did not take; tried again until it holds. Under the table's lock, so that no instance opens an account
which another one closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from callboard.contracts.problems import Problem
from callboard_authsvc.adapters.consumer_access import Account, ConsumerAccess
from callboard_authsvc.adapters.consumer_table import ConsumerRow, ConsumerTable
from callboard_authsvc.consumers.domain import durables_of

log = structlog.get_logger()

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0


class ConsumerUpkeep:
    """`run` is its task."""

    def __init__(self, table: ConsumerTable, access: ConsumerAccess) -> None:
        self._table = table
        self._access = access
        self._wake = asyncio.Event()
        self.problem = ""
        """Why NATS is not in step; empty when it is."""

    async def wake(self) -> None:
        """Look at everything again soon."""
        self._wake.set()

    async def cut_off(self, organisation: str, consumer: str) -> None:
        """Refuse every ended admission of this name and delete the durables, unless it was admitted again.

        The caller has the table's lock. Raises `bus.unavailable`, and goes on trying.
        """
        try:
            await self._access.close(_accounts(await self._table.dismissed(organisation, consumer)))
            if not await self._table.is_active(organisation, consumer):
                await self._access.delete_durables(durables_of(organisation, consumer))
        except Problem:
            self._wake.set()
            raise

    async def run(self) -> None:
        """Keep in step until cancelled."""
        if not self._access.trusted:
            return
        pause = _FIRST_PAUSE
        while True:
            self._wake.clear()
            self.problem = await self._fault()
            if self.problem:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                await self._wake.wait()

    async def _fault(self) -> str:
        try:
            await self._once()
        except Problem as problem:
            log.warning("consumers_not_in_step", reason=problem.message)
            return problem.message
        except Exception:
            # The top of a loop that must not end: a dismissed consumer would stay connected.
            log.exception("consumer_upkeep_failed")
            return "the upkeep of consumers failed; see the log of authsvc"
        return ""

    async def _once(self) -> None:
        async with self._table.exclusive():
            dismissed, active = await self._table.all_dismissed(), await self._table.all_active()
            await self._access.close(_accounts(dismissed))
            admitted = {(row.organisation, row.consumer) for row in active}
            for organisation, consumer in {(row.organisation, row.consumer) for row in dismissed} - admitted:
                await self._access.delete_durables(durables_of(organisation, consumer))
            for organisation, consumer in sorted(admitted):
                await self._access.make_durables(durables_of(organisation, consumer))
            await self._access.open(_accounts(active))


def _accounts(rows: Sequence[ConsumerRow]) -> list[Account]:
    return [(row.organisation, row.consumer, row.public_key) for row in rows]
