"""The keys of task ids from authsvc."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.access import AskTaskKey, TaskKey
from callboard.platform.bus import Bus


class BusTaskKeys:
    """See `tasks.identify.TaskKeys`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def key(self, organisation: str) -> bytes:
        """The key of an organisation; raises `Problem` when authsvc is away."""
        return (await self._bus.ask(subjects.TASK_KEY, AskTaskKey(organisation=organisation), TaskKey, within=5.0)).key
