"""What every room says of itself, and the wake-ups and pushes between rooms.

A command is imperative and carries `command_id`: the same id gives the same answer, however often it is delivered.
`actor` is set by the edge from the verified token, never by the caller. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec


class AskStatus(msgspec.Struct, frozen=True, kw_only=True, tag="status?", tag_field="type"):
    """Broadcast on `cb.ask.status`: every instance of every room answers with its `InstanceStatus`."""


class ServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream as one connector sees it. States are those of features.md F74."""

    organisation: str
    server: str
    state: Literal["ONLINE", "OFFLINE", "DEGRADED", "MAINTENANCE", "UNKNOWN"]
    transport: str
    era: str = ""
    owner: bool = False
    in_flight: int = 0
    restarts: int = 0
    tools: int = 0
    quarantined: dict[str, str] = {}
    problem: str = ""
    generation: int = 0


class HeldStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a playbook does not show because its server changed it; `playbook` is `ORGANISATION/NAME`."""

    playbook: str
    thing: str
    why: str


class PoisonEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a projection could not fold. `reason` is the kind of error.

    `stopped`: the projection stands before it in this organisation, and tries again by itself. `skipped`: an operator
    had it passed over. `due`: it was skipped, and the next rebuild tries it again.
    """

    organisation: str
    seq: int
    event_type: str
    reason: str
    state: Literal["stopped", "skipped", "due"]
    attempts: int
    first_at: datetime
    actor: str = ""
    comment: str = ""


class ProjectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One projection: `lag` is the number of events of the log, or messages of call records, it has not folded yet."""

    projection: str
    lag: int
    events: int
    tables: str = ""
    problem: str = ""
    poison: tuple[PoisonEvent, ...] = ()


class InstanceStatus(msgspec.Struct, frozen=True, kw_only=True, tag="status", tag_field="type"):
    """One process of one room."""

    room: str
    instance: str
    version: str
    pid: int
    uptime_seconds: float
    ready: bool
    problem: str = ""
    servers: tuple[ServerStatus, ...] = ()
    projections: tuple[ProjectionStatus, ...] = ()
    figures: dict[str, float] = {}
    held: tuple[HeldStatus, ...] = ()


class LogHint(msgspec.Struct, frozen=True, kw_only=True, tag="log.hint", tag_field="type"):
    """Lossy wake-up on `cb.hint.<organisation>` after an append: the log has reached `seq`."""

    organisation: str
    seq: int


class SessionChanged(msgspec.Struct, frozen=True, kw_only=True, tag="session.changed", tag_field="type"):
    """edge > edges on `cb.push.session_changed`: read a handshake session anew."""

    session: str


class StreamOpened(msgspec.Struct, frozen=True, kw_only=True, tag="stream.opened", tag_field="type"):
    """edge > edges on `cb.push.stream_opened`: a session has its stream here from now on.

    `stream` is the stream of an answer that goes on here; empty for the session's own.
    """

    session: str
    edge: str
    stream: str = ""


class SessionEnded(msgspec.Struct, frozen=True, kw_only=True, tag="session.ended", tag_field="type"):
    """edge > edges on `cb.push.session_ended`: a handshake session was deleted."""

    session: str


class SessionTold(msgspec.Struct, frozen=True, kw_only=True, tag="session.told", tag_field="type"):
    """connector > edges on `cb.push.session_told`: a notification for the stream of a handshake session."""

    session: str
    message: msgspec.Raw
