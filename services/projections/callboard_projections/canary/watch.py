"""Look at every canary that runs, every few seconds, and have the router end or promote what is decided.

Any number of instances may look: the router's decider takes the first verdict, and refuses the second. Nothing is kept
here, so a restart forgets nothing.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import asyncpg
import structlog

from callboard.contracts import subjects
from callboard.contracts.assignments import CanaryLine, EndCanary, PromoteCanary
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.kernel.canary import Figures
from callboard.platform.bus import Bus
from callboard.platform.event_store import new_id
from callboard.platform.postgres import UNREACHABLE, sql
from callboard_projections.canary.domain import Verdict, judge

log = structlog.get_logger()
_HERE = "callboard_projections"
ACTOR = "callboard/canary"
IDLE_SHARE = 10
"""How many times as long as a look took nothing is looked at: many calls must not keep the database busy."""


class CanaryWatch:
    """Judges canaries from `cb.call`. `pause`: seconds between two looks, at least."""

    def __init__(self, pool: asyncpg.Pool, bus: Bus, pause: float) -> None:
        self._pool = pool
        self._bus = bus
        self._pause = pause

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            started = time.monotonic()
            try:
                await self._look()
            except UNREACHABLE as error:
                log.info("canaries_wait", reason=type(error).__name__)
            except Exception:
                log.exception("canaries_not_judged")
            await asyncio.sleep(max(self._pause, IDLE_SHARE * (time.monotonic() - started)))

    async def _look(self) -> None:
        for row in await self._pool.fetch(sql(_HERE, "canaries_running")):
            values = dict(row)
            organisation = values.pop("organisation")
            canary = CanaryLine(**values)
            verdict = judge(canary, await self._figures(organisation, canary), datetime.now(UTC))
            if verdict is not None:
                await self._carry_out(organisation, canary, verdict)

    async def _figures(self, organisation: str, canary: CanaryLine) -> dict[int, Figures]:
        found = await self._pool.fetch(sql(_HERE, "canary_figures"), organisation, canary.playbook, canary.started_at)
        return {
            row["version"]: Figures(row["calls"], row["errors"], row["tool_errors"], row["timeouts"], float(row["p99"]))
            for row in found
        }

    async def _carry_out(self, organisation: str, canary: CanaryLine, verdict: Verdict) -> None:
        common = {
            "command_id": new_id(),
            "organisation": organisation,
            "playbook": canary.playbook,
            "canary": canary.canary,
            "comment": verdict.comment,
            "actor": ACTOR,
        }
        try:
            if verdict.outcome == "promote":
                await self._bus.ask(subjects.PROMOTE_CANARY, PromoteCanary(**common), Done)
            else:
                await self._bus.ask(subjects.END_CANARY, EndCanary(**common, reason=verdict.outcome), Done)
        except Problem as problem:
            # Another instance, or an operator, was first; or no router is there, and the next look tries again.
            log.info("canary_not_ended", playbook=f"{organisation}/{canary.playbook}", reason=problem.code)
