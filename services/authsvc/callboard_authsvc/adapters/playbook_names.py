"""Which playbooks there are, out of the log that the router writes."""

from __future__ import annotations

import asyncpg

from callboard.platform.postgres import persist, sql

_PACKAGE = "callboard_authsvc"


class PlaybookNames:
    """Asks the log; nothing is kept."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def exists(self, organisation: str, playbook: str) -> bool:
        """Whether the playbook is published, and not retired."""
        text, stream = sql(_PACKAGE, "oauth_playbook_newest"), f"playbook-{playbook}"
        newest = await persist(lambda: self._pool.fetchval(text, organisation, stream))
        return newest is not None and newest != "playbook.retired"
