"""What an operator decides about an event that stops a projection: pass over it, or try it again."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from callboard.contracts.problems import Problem
from callboard.contracts.records import PoisonDecided, RetryEvent, SkipEvent
from callboard.platform.postgres import persist, sql
from callboard_projections.history.fold import Folder
from callboard_projections.history.projection import PACKAGE

_NO_COMMENT = "say why: the read model will lack what this event says"


class Decisions:
    """Decides, and folds on at once."""

    def __init__(self, pool: asyncpg.Pool, folders: Mapping[str, Folder]) -> None:
        self._pool = pool
        self._folders = folders

    async def skip(self, command: SkipEvent) -> PoisonDecided:
        """Pass over it, now and in rebuilds; raises `comment.required` and `projection.not_stopped`."""
        if not command.comment.strip():
            raise Problem("comment.required", _NO_COMMENT)
        return await self._decide(command, "poison_skipped")

    async def retry(self, command: RetryEvent) -> PoisonDecided:
        """Try it at once; one that was skipped is tried by the next rebuild, because the projection is past it."""
        return await self._decide(command, "poison_retried")

    async def _decide(self, command: SkipEvent | RetryEvent, statement: str) -> PoisonDecided:
        folder = self._folders.get(command.projection)
        if folder is None:
            raise Problem("projection.unknown", f"there is no projection {command.projection!r}")
        values = (command.projection, command.organisation, command.seq, command.actor, command.comment)
        state = await persist(lambda: self._pool.fetchval(sql(PACKAGE, statement), *values))
        if state is None:
            event = f"{command.organisation}:{command.seq}"
            raise Problem("projection.not_stopped", f"{command.projection} did not stop at event {event}")
        folder.try_now(command.organisation)
        await persist(lambda: folder.catch_up(command.organisation))
        return PoisonDecided(
            projection=command.projection,
            organisation=command.organisation,
            seq=command.seq,
            state=state,
            at=await self._pool.fetchval(sql(PACKAGE, "cursor_at"), command.projection, command.organisation) or 0,
        )
