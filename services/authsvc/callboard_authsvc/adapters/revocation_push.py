"""Tell the edges to drop a token from their caches, again and again until NATS has the message."""

from __future__ import annotations

import asyncio

import nats.errors
import structlog

from callboard.contracts import subjects
from callboard.contracts.access import TokenRevoked
from callboard.platform.bus import Bus

log = structlog.get_logger()

_FLUSH_SECONDS = 2
_PAUSE_SECONDS = 0.2


class RevocationPush:
    """A set of key ids on their way out; `run` is its task."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: set[str] = set()
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many have not reached NATS yet."""
        return len(self._waiting)

    def announce(self, key_id: str) -> None:
        """Publish this one soon."""
        self._waiting.add(key_id)
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = tuple(self._waiting)
                if await self._publish(batch):
                    self._waiting.difference_update(batch)
                else:
                    await asyncio.sleep(_PAUSE_SECONDS)

    async def _publish(self, key_ids: tuple[str, ...]) -> bool:
        try:
            for key_id in key_ids:
                await self._bus.tell(subjects.TOKEN_REVOKED, TokenRevoked(key_id=key_id))
            # The server's PONG says that it has read everything before the PING.
            await self._bus.client.flush(_FLUSH_SECONDS)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            log.warning("revocation_not_published_yet", keys=len(key_ids), reason=type(error).__name__)
            return False
        return True
