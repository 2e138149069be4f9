"""Events of the log: fold them, then let the room follow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from nats.aio.msg import Msg

from callboard.contracts.events import Recorded
from callboard.contracts.status import LogHint
from callboard.platform.log_follower import LogFollower
from callboard_connectors.registry.domain import Registry, departed, evolve

_hint = msgspec.json.Decoder(LogHint).decode


class RegistryFold:
    """The registry in memory; once the log was read to its end, `changed` is called after a batch.

    Before that, `left` is called for each caller (organisation, client, server) whose sign-ins ended.
    """

    def __init__(self, changed: Callable[[], Awaitable[None]], left: Callable[[str, str, str], None]) -> None:
        self.registry: Registry = {}
        self.complete = False
        self._changed = changed
        self._left = left

    async def apply(self, batch: list[Recorded]) -> None:
        """Take a batch of one organisation."""
        for recorded in batch:
            self.registry = evolve(self.registry, recorded)
            gone = departed(recorded) if self.complete else None
            if gone is not None:
                self._left(*gone)
        if self.complete:
            await self._changed()


class Hints:
    """`cb.hint.<organisation>`: the log has grown."""

    def __init__(self, follower: LogFollower) -> None:
        self._follower = follower

    async def on_hint(self, msg: Msg) -> None:
        """Wake the follower."""
        hint = _hint(msg.data)
        self._follower.hint(hint.organisation, hint.seq)
