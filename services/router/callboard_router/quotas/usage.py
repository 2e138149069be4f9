"""`cb.ask.router.usage`: what an organisation has and uses, beside what its plan allows."""

from __future__ import annotations

import asyncpg

from callboard.contracts.plans import AskUsage, Usage
from callboard_router.decisions import Decisions
from callboard_router.quotas.domain import playbooks_of
from callboard_router.quotas.meters import Meters


class Usages:
    """Answers from the state of this router, and from what all routers counted."""

    def __init__(self, decisions: Decisions, meters: Meters, pool: asyncpg.Pool) -> None:
        self._decisions = decisions
        self._meters = meters
        self._pool = pool

    async def usage(self, question: AskUsage) -> Usage:
        """Raises `organisation.unknown`."""
        organisation = await self._decisions.current(question.organisation)
        return Usage(
            organisation=question.organisation,
            plan=organisation.plan,
            quotas=organisation.quotas,
            playbooks=playbooks_of(organisation),
            servers=len(organisation.registered()),
            calls_today=await self._meters.calls_today(question.organisation, self._pool),
        )
