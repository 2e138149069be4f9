"""Bus credentials of the rooms: each may use only the subjects that `contracts.subjects` lists for it."""

from __future__ import annotations

from pathlib import Path

from callboard.contracts.subjects import PERMISSIONS, ROOMS, inbox
from callboard.platform.bus_identity import Permissions, Trust, user_creds


def room_permissions(room: str) -> Permissions:
    """What a room may do: its subjects, its own inbox, and answers to what it was asked."""
    publish, subscribe = PERMISSIONS[room]
    return Permissions(publish=publish, subscribe=(*subscribe, f"{inbox(room)}.>"), allow_responses=True)


def write_room_credentials(trust: Trust, directory: Path) -> dict[str, Path]:
    """A new credentials file for each room, `<room>.creds`; made anew so that a changed permission takes effect."""
    return {room: user_creds(trust, room, room_permissions(room)).save(directory / f"{room}.creds") for room in ROOMS}
