"""Open a session to a definition: secrets, transport, negotiation; every failure becomes a `Problem`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from callboard.contracts.calls import MODERN
from callboard.contracts.definitions import SecretRef, ServerDefinition
from callboard.contracts.problems import Problem
from callboard.platform.egress import Egress
from callboard_connectors.registry.domain import secrets_of
from callboard_connectors.sessions.bearer import SessionBearer, SignIns
from callboard_connectors.sessions.domain import Incompatible, Mirror, SessionKey
from callboard_connectors.sessions.http_session import HttpSession
from callboard_connectors.sessions.mirrored_http import MirroredHttpSession
from callboard_connectors.sessions.negotiate import negotiate
from callboard_connectors.sessions.pipe_session import Pipe, PipeSession
from callboard_connectors.sessions.session import Session
from callboard_connectors.transports.authorized import Bearer, link_to
from callboard_connectors.transports.child import spawn
from callboard_connectors.transports.commands import Commands
from callboard_connectors.transports.failures import InvalidAnswer, SessionUnknown, StatusRefused, TransportFailure
from callboard_connectors.transports.guardian import Guardian
from callboard_connectors.transports.sse_link import SseLink
from callboard_connectors.transports.stdio import Chatter, StdioLink
from callboard_connectors.transports.websocket import WebSocketLink

FAILURES = (
    Problem,
    TransportFailure,
    StatusRefused,
    InvalidAnswer,
    Incompatible,
    SessionUnknown,
    TimeoutError,
)
"""How opening a session can fail; anything else is a fault of ours."""

OLDER_STATUSES = (400, 404, 405)
"""What a server that knows only HTTP+SSE answers to a POST at its URL."""


class Vault(Protocol):
    """Who opens secrets."""

    async def open(self, organisation: str, secrets: tuple[str, ...]) -> dict[str, str]:
        """Name > value; raises `Problem`."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a session: seconds to connect and negotiate, bytes of an answer."""

    connect_seconds: float
    max_body_bytes: int
    allow_stdio: bool
    commands: Commands = Commands()


class SessionOpener:
    """Opens sessions; holds what they share."""

    def __init__(
        self,
        guardian: Guardian,
        vault: Vault,
        limits: Limits,
        environment: Mapping[str, str],
        egress: Egress,
        sign_ins: SignIns,
    ) -> None:
        self._guardian = guardian
        self._vault = vault
        self._limits = limits
        self._environment = environment
        self._egress = egress
        self._sign_ins = sign_ins

    async def open(
        self, key: SessionKey, definition: ServerDefinition, era: str = "", mirror: Mirror | None = None
    ) -> Session:
        """A session that is ready for calls. `era` is the one spoken before, if any.

        With a `mirror` it is a handshake session in the name of one client.

        Raises `Problem`: `server.unavailable` or `server.invalid_answer`, naming the server and the reason.
        """
        try:
            values = await self._secrets(key, definition)
            if definition.is_stdio:
                return await self._open_stdio(key, definition, values, era, mirror)
            headers = _filled(definition.headers, values)
            if definition.tenant_header:
                headers[definition.tenant_header] = key.organisation
            bearer = self._bearer(key, definition)
            if definition.is_websocket:
                return await self._open_websocket(definition, headers, bearer, era, mirror)
            return await self._open_url(definition, headers, bearer, mirror)
        except FAILURES as error:
            raise problem_of(key.server, error) from None

    async def _secrets(self, key: SessionKey, definition: ServerDefinition) -> dict[str, str]:
        names = secrets_of(definition)
        return await self._vault.open(key.organisation, names) if names else {}

    def _bearer(self, key: SessionKey, definition: ServerDefinition) -> SessionBearer | None:
        """Who has the tokens for this server, where it is signed in to."""
        if definition.oauth is None:
            return None
        return SessionBearer(self._sign_ins, key.organisation, key.server, key.subject)

    async def _open_url(
        self, definition: ServerDefinition, headers: dict[str, str], bearer: Bearer | None, mirror: Mirror | None
    ) -> Session:
        """Streamable HTTP first; where that is unknown, the older transport (2025-11-25, "Backwards Compatibility")."""
        if definition.transport == "sse":
            return await self._open_sse(definition, headers, bearer, mirror)
        try:
            return await self._open_http(definition, headers, bearer, mirror)
        except StatusRefused as refused:
            if definition.transport != "auto" or refused.status not in OLDER_STATUSES:
                raise
            try:
                return await self._open_sse(definition, headers, bearer, mirror)
            except StatusRefused:
                raise refused from None  # neither of them is here

    async def _open_http(
        self, definition: ServerDefinition, headers: dict[str, str], bearer: Bearer | None, mirror: Mirror | None
    ) -> Session:
        assert definition.url is not None
        limits = self._limits
        link = link_to(definition.url, limits.max_body_bytes, limits.connect_seconds, self._egress, bearer)
        session = HttpSession(link, headers) if mirror is None else MirroredHttpSession(link, headers)
        try:
            discover = mirror is None
            session.adopt(await negotiate(session, limits.connect_seconds, discover=discover, mirror=mirror))
            if isinstance(session, MirroredHttpSession):
                await session.attend()
        except BaseException:
            link.close()
            raise
        return session

    async def _open_sse(
        self, definition: ServerDefinition, headers: dict[str, str], bearer: Bearer | None, mirror: Mirror | None
    ) -> Session:
        assert definition.url is not None
        limits = self._limits
        size, seconds = limits.max_body_bytes, limits.connect_seconds
        link = SseLink(definition.url, headers, size, seconds, self._egress, bearer)
        # This transport is older than the stateless era: nobody speaks that over it.
        return await self._opened(link, discover=False, mirror=mirror)

    async def _open_websocket(
        self,
        definition: ServerDefinition,
        headers: dict[str, str],
        bearer: Bearer | None,
        era: str,
        mirror: Mirror | None,
    ) -> Session:
        """The token is seen when the connection is made, and not again."""
        line = b"" if bearer is None else await bearer.line()
        try:
            return await self._open_web_socket_with(definition, headers, line, era, mirror)
        except StatusRefused as refused:
            if bearer is None or refused.status != 401:
                raise
            other = await bearer.other_line(line, refused.status, refused.challenge)
            if other is None:
                raise
        return await self._open_web_socket_with(definition, headers, other, era, mirror)

    async def _open_web_socket_with(
        self, definition: ServerDefinition, headers: dict[str, str], line: bytes, era: str, mirror: Mirror | None
    ) -> Session:
        url, limits = definition.url or "", self._limits
        name, _, value = line.decode("latin-1").strip().partition(": ")
        sent = {**headers, name: value} if line else headers

        def pipe() -> Pipe:
            return WebSocketLink(url, sent, limits.max_body_bytes, limits.connect_seconds, self._egress)

        return await self._open_either(pipe, era, mirror)

    async def _open_stdio(
        self,
        key: SessionKey,
        definition: ServerDefinition,
        values: dict[str, str],
        era: str,
        mirror: Mirror | None,
    ) -> Session:
        if not self._limits.allow_stdio:
            raise TransportFailure("servers with a command are switched off here", sent=False)
        if fault := self._limits.commands.fault(definition.command or (), definition.env, definition.cwd):
            raise TransportFailure(fault, sent=False)
        env = {**self._environment, **_filled(definition.env, values)}
        name = f"{key.organisation}.{key.server}"
        out = Chatter(name, "upstream_noise", values.values())
        err = Chatter(name, "upstream_stderr", values.values())

        def pipe() -> Pipe:
            child = spawn(definition.command or (), env, definition.cwd, self._guardian)
            return StdioLink(child, self._limits.max_body_bytes, out, err)

        return await self._open_either(pipe, era, mirror)

    async def _open_either(self, pipe: Callable[[], Pipe], era: str, mirror: Mirror | None) -> Session:
        """A session in the era that the server speaks; over a pipe that can only be found out by asking."""
        discover = mirror is None and era in ("", MODERN)
        try:
            return await self._opened(pipe(), discover=discover, mirror=mirror)
        except TransportFailure as failure:
            if not discover or not failure.sent:
                raise
        # Some handshake servers end themselves over a request that comes before `initialize`.
        return await self._opened(pipe(), discover=False, mirror=mirror)

    async def _opened(self, pipe: Pipe, *, discover: bool, mirror: Mirror | None) -> Session:
        session = PipeSession(pipe, mirrored=mirror is not None)
        try:
            await session.open()
            within = self._limits.connect_seconds
            session.adopt(await negotiate(session, within, discover=discover, mirror=mirror))
        except BaseException:
            await session.close()
            raise
        return session


def _filled(texts: Mapping[str, str | SecretRef], values: Mapping[str, str]) -> dict[str, str]:
    """Header or environment values with the secrets put in."""
    return {name: values[text.secret] if isinstance(text, SecretRef) else text for name, text in texts.items()}


def problem_of(server: str, error: Exception) -> Problem:
    """What went wrong with a server, in words that name it, its fault and (by the code) what to do."""
    match error:
        case Problem() if error.data.get("server") == server:
            return error  # it speaks of the server already
        case Problem():
            return Problem(error.code, f"server {server!r}: {error.message}", **{**error.data, "server": server})
        case TransportFailure() | StatusRefused():
            return Problem("server.unavailable", f"server {server!r} is not available: {error.reason}", server=server)
        case InvalidAnswer():
            return Problem("server.invalid_answer", f"server {server!r} {error.reason}", server=server)
        case Incompatible():
            return Problem("server.invalid_answer", f"server {server!r} cannot be used: {error}", server=server)
        case SessionUnknown():
            return Problem("server.unavailable", f"server {server!r} forgot the session at once", server=server)
        case TimeoutError():
            return Problem("server.unavailable", f"server {server!r} did not answer in time", server=server)
        case _:
            raise error
