"""What edges refused: written down."""

from __future__ import annotations

from callboard.contracts.playbooks import Done
from callboard.contracts.refusals import NOTE_REFUSALS, NoteRefusals
from callboard.platform.bus import Bus, register
from callboard_authsvc.refusals.write import RefusalsWriter


def register_refusals(bus: Bus, writer: RefusalsWriter) -> None:
    """Note."""

    async def note(command: NoteRefusals) -> Done:
        return await writer.note(command)

    register(bus, NOTE_REFUSALS, note)
