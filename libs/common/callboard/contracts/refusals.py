"""What edges tell authsvc of callers whom they refused: counted, in bursts, and never the key that was shown."""

from __future__ import annotations

from datetime import datetime

import msgspec

from callboard.contracts.sign_in_events import Door

NOTE_REFUSALS = "cb.cmd.token.note_refusals"
"""edge > authsvc; within what `subjects.PERMISSIONS` allows."""


class RefusedCallers(msgspec.Struct, frozen=True, kw_only=True):
    """`organisation`: whose URL was asked, if there is such a one. `key_id`: of the token that was shown, if any."""

    door: Door
    reason: str
    count: int
    organisation: str = ""
    key_id: str = ""
    address: str = ""


class NoteRefusals(msgspec.Struct, frozen=True, kw_only=True, tag="refusals.note", tag_field="type"):
    """Write down what one edge refused between two times; `others`: refusals that it had no room to tell apart."""

    command_id: str
    since: datetime
    until: datetime
    lines: tuple[RefusedCallers, ...]
    others: int = 0
