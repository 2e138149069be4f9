"""Log levels (RFC 5424, as MCP names them): what a client hears, and what a handshake server is told to send.

Spec: MCP 2025-11-25, server/utilities/logging; 2026-07-28, `_meta` logLevel. A session that several clients share is
told the most talkative level that any of them asked for, and each hears what it asked for.
"""

from __future__ import annotations

import structlog

from callboard_connectors.sessions.session import Session
from callboard_connectors.transports.envelope import RpcRefused
from callboard_connectors.transports.failures import InvalidAnswer, SessionUnknown, StatusRefused, TransportFailure

log = structlog.get_logger()
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
DEFAULT_LEVEL = "info"
"""For a handshake client that never said one, where its server must be told one or was told another's."""
_TELL_SECONDS = 5.0


def heard_at(wanted: str, level: str) -> bool:
    """Whether a message of this level is for a client that asked for `wanted`; a level nobody knows is."""
    if wanted not in LEVELS:
        return False
    return level not in LEVELS or LEVELS.index(level) >= LEVELS.index(wanted)


async def agree(session: Session, wanted: str) -> str:
    """Have a handshake server send at least this level; returns the level from which the client hears it.

    Empty for both means: whatever the server likes. A server that cannot be told sends what it likes; when it is
    lost, the call that follows finds that out.
    """
    if session.opening.modern or not wanted:
        return wanted or (DEFAULT_LEVEL if session.log_level else "")
    if session.log_level != wanted and not heard_at(session.log_level, wanted) and _logs(session):
        session.log_level = wanted
        try:
            await session.ask("logging/setLevel", {"level": wanted}, _TELL_SECONDS)
        except (RpcRefused, InvalidAnswer, SessionUnknown, StatusRefused, TransportFailure, TimeoutError) as error:
            log.info("level_not_told", reason=type(error).__name__)
    return wanted


def _logs(session: Session) -> bool:
    return b'"logging"' in bytes(session.opening.capabilities)
