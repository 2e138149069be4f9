"""Tells the router what was discovered; the router puts it into the log."""

from __future__ import annotations

import nats.errors

from callboard.contracts import subjects
from callboard.contracts.definitions import Catalogue
from callboard.contracts.playbooks import Done, RecordCatalogue, ResourceUpdated
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard.platform.event_store import new_id
from callboard_connectors.registry.domain import ServerKey


class BusRecorder:
    """See `discovery.keep.Recorder`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def new_id(self) -> str:
        """An id for a command."""
        return new_id()

    async def updated(self, key: ServerKey, uri: str) -> None:
        """Tell every edge; whoever watches the resource passes it on."""
        message = ResourceUpdated(organisation=key.organisation, server=key.server, uri=uri)
        await self._bus.tell(subjects.updated(key.organisation, key.server), message)

    async def record(self, key: ServerKey, digest: str, catalogue: Catalogue, command_id: str) -> None:
        """Returns when the router accepted it; raises `Problem`."""
        command = RecordCatalogue(
            command_id=command_id,
            organisation=key.organisation,
            server=key.server,
            digest=digest,
            catalogue=catalogue,
            producer=f"connectors/{self._bus.instance}",
        )
        try:
            await self._bus.ask(subjects.RECORD_CATALOGUE, command, Done, within=15.0)
        except nats.errors.MaxPayloadError:
            raise Problem("payload.too_large", "the catalogue is larger than one message may be") from None
