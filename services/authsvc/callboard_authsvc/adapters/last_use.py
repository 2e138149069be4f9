"""When tokens were used last: noted in memory, written every few seconds in one statement."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

import asyncpg
import structlog

from callboard.platform.postgres import UNREACHABLE, sql
from callboard.platform.walls import across

log = structlog.get_logger()
_PACKAGE = "callboard_authsvc"
_TROUBLE: tuple[type[BaseException], ...] = (asyncpg.PostgresError, *UNREACHABLE)
EVERY_SECONDS: Final = 5.0


class LastUse:
    """An edge verifies a token that is in use again and again, so this sees every use, if not at once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = across(pool)  # one statement for the tokens of all
        self._seen: dict[str, datetime] = {}

    def note(self, key_id: str, at: datetime) -> None:
        """The token was verified."""
        self._seen[key_id] = at

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write what was noted; what cannot be written waits for the next time."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            await self._pool.execute(sql(_PACKAGE, "tokens_used"), list(seen), list(seen.values()))
        except _TROUBLE as error:
            log.warning("last_use_not_written_yet", tokens=len(seen), reason=type(error).__name__)
            self._seen = {**seen, **self._seen}
