"""Tell the edges to drop a key from their caches, again and again until NATS has the message."""

from __future__ import annotations

import asyncio

import nats.errors
import structlog

from callboard.contracts import subjects
from callboard.contracts.access import RightsChanged, TokenRevoked
from callboard.platform.bus import Bus

log = structlog.get_logger()

_SETTLED_SECONDS = 2.0
_PAUSE_SECONDS = 0.2


class RevocationPush:
    """A set of key ids on their way out; `run` is its task."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: set[tuple[str, bool]] = set()
        self._leaving: set[tuple[str, bool]] = set()
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many have not reached NATS yet."""
        return len(self._waiting | self._leaving)

    def announce(self, key_id: str) -> None:
        """Publish soon that this key is refused: whatever goes on with it ends."""
        self._waiting.add((key_id, True))
        self._wake.set()

    def announce_change(self, key_id: str) -> None:
        """Publish soon that whoever has this key may do something else now."""
        self._waiting.add((key_id, False))
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                # Taken out before it is sent: what is announced meanwhile has to be told after this.
                self._leaving, self._waiting = self._waiting, set()
                if not await self._publish(tuple(self._leaving)):
                    self._waiting |= self._leaving
                    await asyncio.sleep(_PAUSE_SECONDS)
                self._leaving = set()

    async def _publish(self, keys: tuple[tuple[str, bool], ...]) -> bool:
        if not self._bus.connected:
            return False
        try:
            for key_id, revoked in keys:
                if revoked:
                    await self._bus.tell(subjects.TOKEN_REVOKED, TokenRevoked(key_id=key_id))
                else:
                    await self._bus.tell(subjects.RIGHTS_CHANGED, RightsChanged(key_id=key_id))
            async with asyncio.timeout(_SETTLED_SECONDS):
                return await self._bus.settled()
        except (nats.errors.Error, TimeoutError, OSError) as error:
            log.warning("revocation_not_published_yet", keys=len(keys), reason=type(error).__name__)
            return False
