"""The servers that are registered, out of the log that the router writes."""

from __future__ import annotations

import asyncpg

from callboard.contracts.definitions import ServerDefinition
from callboard.contracts.events import ServerReconfigured, ServerRegistered
from callboard.contracts.upcasts import read_event
from callboard.platform.postgres import persist, sql

_PACKAGE = "callboard_authsvc"


class ServerDefinitions:
    """See `upstream_oauth.ports.Servers`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def definition(self, organisation: str, server: str) -> ServerDefinition | None:
        """The newest; None for one that is not registered."""
        text, stream = sql(_PACKAGE, "server_definition"), f"server-{server}"
        row = await persist(lambda: self._pool.fetchrow(text, organisation, stream))
        if row is None:
            return None
        event = read_event(row["type"], row["schema_version"], row["payload"])
        return event.definition if isinstance(event, ServerRegistered | ServerReconfigured) else None
