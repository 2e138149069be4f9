"""What the other rooms push to every edge: changed playbooks, revoked tokens, ended sessions."""

from __future__ import annotations

import msgspec
from nats.aio.msg import Msg

from callboard.contracts import signing_subjects, subjects
from callboard.contracts.access import RightsChanged, TokenRevoked
from callboard.contracts.playbooks import CatalogueChanged, ResourceUpdated
from callboard.contracts.status import SessionChanged, SessionEnded, SessionTold, StreamOpened
from callboard.platform.bus import Bus
from callboard_edge.api.tail import Tails
from callboard_edge.auth.logins import Logins
from callboard_edge.auth.signing_keys import SigningKeySet
from callboard_edge.auth.verify import Tokens
from callboard_edge.mcp.calls import Calls
from callboard_edge.mcp.connections import Connections
from callboard_edge.mcp.playbooks import Playbooks
from callboard_edge.mcp.resume import Resume
from callboard_edge.mcp.sessions import Sessions
from callboard_edge.mcp.streams import Streams
from callboard_edge.mcp.watching import Watching

_changed = msgspec.json.Decoder(CatalogueChanged).decode
_revoked = msgspec.json.Decoder(TokenRevoked).decode
_rights_changed = msgspec.json.Decoder(RightsChanged).decode
_session_changed = msgspec.json.Decoder(SessionChanged).decode
_updated = msgspec.json.Decoder(ResourceUpdated).decode
_stream_opened = msgspec.json.Decoder(StreamOpened).decode
_told = msgspec.json.Decoder(SessionTold).decode
_ended = msgspec.json.Decoder(SessionEnded).decode


async def listen(
    bus: Bus,
    tokens: Tokens,
    sessions: Sessions,
    playbooks: Playbooks,
    streams: Streams,
    resume: Resume,
    watching: Watching,
    connections: Connections,
    calls: Calls,
) -> None:
    """Subscribe; and after a loss of the connection, doubt what may have been missed."""

    async def playbook_changed(message: Msg) -> None:
        playbooks.changed(_changed(message.data))

    async def token_revoked(message: Msg) -> None:
        key_id = _revoked(message.data).key_id
        tokens.forget(key_id)
        streams.close_key(key_id)
        resume.close_key(key_id)
        connections.close_key(key_id)
        # Last, so that a connection that is over anyway is not told of each of its calls.
        await calls.close_key(key_id)

    async def session_ended(message: Msg) -> None:
        session = _ended(message.data).session
        sessions.forget(session)
        streams.close_session(session)
        resume.close_session(session)

    async def stream_opened(message: Msg) -> None:
        opened = _stream_opened(message.data)
        streams.opened_elsewhere(opened)
        resume.opened_elsewhere(opened)

    async def session_changed(message: Msg) -> None:
        id = _session_changed(message.data).session
        sessions.forget(id)
        streams.changed_anywhere(id)

    async def resource_updated(message: Msg) -> None:
        watching.updated(_updated(message.data))

    async def session_told(message: Msg) -> None:
        streams.session_told(_told(message.data))

    await bus.listen(f"{subjects.CHANGED}.>", playbook_changed)
    await bus.listen(f"{subjects.UPDATED}.>", resource_updated)
    await bus.listen(subjects.SESSION_CHANGED, session_changed)
    await bus.listen(subjects.TOKEN_REVOKED, token_revoked)
    await bus.listen(subjects.SESSION_ENDED, session_ended)
    await bus.listen(subjects.STREAM_OPENED, stream_opened)
    await bus.listen(subjects.SESSION_TOLD, session_told)
    bus.on_reconnect(tokens.doubt_all)
    bus.on_reconnect(connections.doubt_all)
    bus.on_reconnect(playbooks.refresh)


async def listen_for_keys(bus: Bus, tokens: Tokens, keys: SigningKeySet) -> None:
    """The signing keys are others now: what was checked with those that are gone is checked again."""

    async def keys_changed(_message: Msg) -> None:
        keys.forget()
        await tokens.doubt_all()

    async def doubt_keys() -> None:
        keys.forget()

    await bus.listen(signing_subjects.SIGNING_KEYS_CHANGED, keys_changed)
    bus.on_reconnect(doubt_keys)


async def listen_for_api(bus: Bus, tokens: Tokens, logins: Logins, tails: Tails) -> None:
    """The same for what follows from who somebody is: what was cached of a key is forgotten, and its tails end."""

    async def rights_changed(message: Msg) -> None:
        key_id = _rights_changed(message.data).key_id
        tokens.forget(key_id)
        logins.forget(key_id)
        tails.close_key(key_id)

    async def key_ended(message: Msg) -> None:
        key_id = _revoked(message.data).key_id
        logins.forget(key_id)
        tails.close_key(key_id)

    await bus.listen(subjects.RIGHTS_CHANGED, rights_changed)
    await bus.listen(subjects.TOKEN_REVOKED, key_ended)
    bus.on_reconnect(logins.doubt_all)
