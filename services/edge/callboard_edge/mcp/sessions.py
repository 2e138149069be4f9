"""Handshake sessions in NATS KV: any edge serves any session, and a deleted one is gone everywhere.

A session belongs to the token that made it; for anybody else it does not exist. Of an OAuth client's it is enough that
the token is the same member's for the same client: who agreed to more in between goes on in its session.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import msgspec
import nats.errors
import nats.js.errors
import structlog
from nats.js.client import JetStreamContext
from nats.js.kv import KeyValue

from callboard.contracts import subjects
from callboard.contracts.access import Principal
from callboard.contracts.problems import Problem
from callboard.contracts.status import SessionChanged, SessionEnded
from callboard.platform.bus import Bus

log = structlog.get_logger()
FRESH = 5.0
"""Seconds for which a session read from the bucket is not read again."""
TOUCH = 3600.0
"""Seconds after which a session in use is written again, so that the bucket's time to live counts from its use."""
MAX_KEPT = 20_000


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What an edge must know to serve a handshake session."""

    id: str
    organisation: str
    playbook: str
    version: int
    principal: str
    protocol: str
    capabilities: msgspec.Raw = msgspec.Raw(b"{}")
    client_info: msgspec.Raw = msgspec.Raw(b"{}")
    log_level: str = ""
    etags: dict[str, str] = {}
    subscriptions: dict[str, str] = {}
    written: float = 0.0
    client: str = ""
    oauth_client: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Session).decode
_AWAY = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)


class Sessions:
    """The bucket, with what was read lately kept in memory."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._stream: JetStreamContext | None = None
        self._bucket: KeyValue | None = None
        self._kept: dict[str, tuple[Session, float]] = {}

    async def _kv(self) -> KeyValue:
        if self._bucket is None:
            self._stream = self._bus.client.jetstream(timeout=3)
            self._bucket = await self._stream.key_value(subjects.BUCKET_SESSIONS)
        return self._bucket

    async def create(self, session: Session) -> Session:
        """Store a new session under a new id (160 random bits, visible ASCII)."""
        made = msgspec.structs.replace(session, id=os.urandom(20).hex(), written=time.time())
        await self._write(made)
        return made

    async def find(self, id: str, principal: Principal) -> Session | None:
        """The session, if it exists and belongs to the principal."""
        kept = self._kept.get(id)
        now = time.monotonic()
        if kept is None or now - kept[1] > FRESH:
            session = await self._read(id)
            if session is None:
                self._kept.pop(id, None)
                return None
            self._keep(session, now)
        else:
            session = kept[0]
        if session.principal != principal.key_id:
            if not _same_client(session, principal):
                return None
            session = msgspec.structs.replace(session, principal=principal.key_id)
            await self.update(session)
        if time.time() - session.written > TOUCH:
            await self.update(msgspec.structs.replace(session, written=time.time()))
        return session

    async def update(self, session: Session) -> None:
        """Store a changed session, and let the other edges know."""
        await self._write(session)
        await self._bus.tell(subjects.SESSION_CHANGED, SessionChanged(session=session.id))

    async def read(self, id: str) -> Session | None:
        """The session as it is stored now; nobody used it by that."""
        return await self._read(id)

    async def end(self, session: Session) -> None:
        """Delete it; other edges are told at once, and find out by themselves within seconds."""
        self._kept.pop(session.id, None)
        try:
            await (await self._kv()).delete(session.id)
        except _AWAY as error:
            raise _unavailable(error) from None
        await self._bus.tell(subjects.SESSION_ENDED, SessionEnded(session=session.id))

    def used_lately(self, within: float) -> Iterator[Session]:
        """The sessions that this edge served in the last `within` seconds (give or take those it is kept fresh)."""
        now = time.monotonic()
        yield from (session for session, at in self._kept.values() if now - at < within)

    def forget(self, id: str) -> None:
        """Another edge deleted or changed it."""
        self._kept.pop(id, None)

    def _keep(self, session: Session, now: float) -> None:
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[session.id] = (session, now)

    async def _write(self, session: Session) -> None:
        try:
            await (await self._kv()).put(session.id, _encode(session))
        except _AWAY as error:
            self._bucket = None
            raise _unavailable(error) from None
        self._keep(session, time.monotonic())

    async def _read(self, id: str) -> Session | None:
        if not id.isalnum() or len(id) != 40:
            return None
        try:
            entry = await (await self._kv()).get(id)
        except (nats.js.errors.KeyNotFoundError, nats.js.errors.KeyDeletedError):
            return None
        except _AWAY as error:
            self._bucket = None
            raise _unavailable(error) from None
        # After a key expired, nats-py answers an entry without a value until its marker is gone.
        return _decode(entry.value) if entry.value else None


def _same_client(session: Session, principal: Principal) -> bool:
    whose = session.oauth_client, session.client
    return session.oauth_client != "" and whose == (principal.oauth_client, principal.client)


def _unavailable(error: BaseException) -> Problem:
    log.warning("sessions_away", reason=type(error).__name__)
    return Problem("bus.unavailable", "sessions cannot be reached right now; try again in a moment")
