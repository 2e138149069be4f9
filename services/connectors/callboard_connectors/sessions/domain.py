"""Which era an upstream speaks, and when a failing one is tried again; pure.

Sources: MCP 2026-07-28 (server/discover), MCP 2025-11-25 (lifecycle). What is not positive evidence of a
stateless server leads to the handshake.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from callboard.contracts.calls import HANDSHAKE_VERSIONS, MODERN
from callboard.contracts.definitions import ServerDefinition
from callboard.kernel.extensions import TASKS, declares
from callboard_connectors.transports.envelope import UNSUPPORTED_VERSION, RpcRefused

META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_LOG_LEVEL = "io.modelcontextprotocol/logLevel"
META_SERVER_INFO = "io.modelcontextprotocol/serverInfo"
ERA_KEYS = (META_VERSION, META_CLIENT_INFO, META_CAPABILITIES, META_LOG_LEVEL)


class SessionKey(msgspec.Struct, frozen=True):
    """Which session with an upstream. `mirror` is empty for the one that all clients share.

    A session that mirrors one client (its capabilities, its requests from the server) will have that client's
    session here; everything below asks for sessions by this key only. `subject`: the caller who signs in to the server;
    empty where all share one sign-in, or none is needed.
    """

    organisation: str
    server: str
    mirror: str = ""
    subject: str = ""


class Mirror(msgspec.Struct, frozen=True):
    """The client that a mirrored session speaks for: its capabilities and its name, as raw JSON objects."""

    capabilities: bytes
    client_info: bytes


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What an upstream said of itself when we connected; `era` is the protocol version spoken."""

    era: str
    capabilities: msgspec.Raw = msgspec.Raw(b"{}")
    server_info: msgspec.Raw = msgspec.Raw(b"{}")
    instructions: str = ""
    makes_tasks: bool = False

    @property
    def modern(self) -> bool:
        """Whether the stateless revision is spoken."""
        return self.era == MODERN


class _Discovered(msgspec.Struct, rename="camel"):
    supported_versions: list[str]
    capabilities: msgspec.Raw = msgspec.Raw(b"{}")
    instructions: str | None = None
    server_info: msgspec.Raw = msgspec.Raw(b"")
    meta: dict[str, msgspec.Raw] | None = msgspec.field(default=None, name="_meta")


class _Initialized(msgspec.Struct, rename="camel"):
    protocol_version: str
    capabilities: msgspec.Raw = msgspec.Raw(b"{}")
    server_info: msgspec.Raw = msgspec.Raw(b"{}")
    instructions: str | None = None


class _Supported(msgspec.Struct):
    supported: list[str]


_discovered = msgspec.json.Decoder(_Discovered).decode
_initialized = msgspec.json.Decoder(_Initialized).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_supported = msgspec.json.Decoder(_Supported).decode

Verdict = Opening | Literal["handshake"]


class Incompatible(Exception):
    """The upstream speaks MCP, but no version that we speak. The text says which."""


def verdict_of_discover(result: bytes) -> Verdict:
    """What the result of `server/discover` says."""
    try:
        found = _discovered(result)
    except msgspec.DecodeError:
        return "handshake"
    if MODERN not in found.supported_versions:
        return "handshake"
    info = bytes(found.server_info) or bytes((found.meta or {}).get(META_SERVER_INFO, b"{}"))
    return Opening(
        era=MODERN,
        capabilities=_object(found.capabilities),
        server_info=_object(msgspec.Raw(info)),
        instructions=found.instructions or "",
        makes_tasks=_makes_tasks(found.capabilities),
    )


def names_modern(refused: RpcRefused) -> bool:
    """Whether a refusal names the stateless version: then that is to be spoken."""
    return MODERN in versions_named(refused)


def versions_named(refused: RpcRefused) -> list[str]:
    """The versions that an "unsupported version" refusal names."""
    if refused.peek.code != UNSUPPORTED_VERSION:
        return []
    try:
        return _supported(refused.peek.data).supported
    except msgspec.DecodeError:
        return []


def verdict_of_refusal(refused: RpcRefused) -> Verdict:
    """What a refusal of `server/discover` says; raises `Incompatible` when no version is shared."""
    named = versions_named(refused)
    if named and not any(version in (*HANDSHAKE_VERSIONS, MODERN) for version in named):
        raise Incompatible(f"it speaks MCP {', '.join(named[:5])} only")
    return "handshake"


def opening_of_initialize(result: bytes) -> Opening:
    """What the result of `initialize` says; raises `Incompatible` or `msgspec.DecodeError`."""
    found = _initialized(result)
    if found.protocol_version not in HANDSHAKE_VERSIONS:
        raise Incompatible(f"it speaks MCP {found.protocol_version[:40]} only")
    return Opening(
        era=found.protocol_version,
        capabilities=_object(found.capabilities),
        server_info=_object(found.server_info),
        instructions=found.instructions or "",
        makes_tasks=_makes_tasks(found.capabilities),
    )


def _makes_tasks(capabilities: msgspec.Raw) -> bool:
    """Whether calls may leave tasks behind, by the extension or by the capability of 2025-11-25."""
    try:
        return "tasks" in _members(capabilities) or declares(capabilities, TASKS)
    except msgspec.DecodeError:
        return False


def _object(raw: msgspec.Raw) -> msgspec.Raw:
    """A copy of a JSON object, or `{}`: it outlives the message that it came in."""
    copied = bytes(raw).strip()
    return msgspec.Raw(copied if copied[:1] == b"{" else b"{}")


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """When a failing upstream is tried again. Times are seconds of a monotonic clock.

    From the `pausing`th failure in a row there is a pause before the next attempt, `first` and doubling to
    `longest`; from the `threshold`th on, calls fail at once until an attempt succeeded.
    """

    threshold: int
    pausing: int
    first: float
    longest: float
    failures: int = 0
    retry_at: float = 0.0

    @property
    def open(self) -> bool:
        """Whether calls fail at once."""
        return self.failures >= self.threshold

    def failed(self, now: float) -> Breaker:
        """After one more failure."""
        failures = self.failures + 1
        pause = 0.0
        if failures >= self.pausing:
            pause = min(self.longest, self.first * 2.0 ** min(failures - self.pausing, 30))
        return msgspec.structs.replace(self, failures=failures, retry_at=now + pause)

    def succeeded(self) -> Breaker:
        """After a success."""
        return msgspec.structs.replace(self, failures=0, retry_at=0.0)

    def under(self, rules: Breaker) -> Breaker:
        """The same history under other rules."""
        return msgspec.structs.replace(rules, failures=self.failures, retry_at=self.retry_at)

    def pause(self, now: float) -> float:
        """Seconds until the next attempt."""
        return max(0.0, self.retry_at - now)


HTTP_BREAKER = Breaker(threshold=5, pausing=5, first=1.0, longest=15.0)
PIPE_BREAKER = Breaker(threshold=3, pausing=1, first=0.2, longest=10.0)


def expected_transport(definition: ServerDefinition) -> str:
    """What carries a server's sessions, as far as its definition says; "http" may turn out to be "sse"."""
    if definition.is_stdio:
        return "stdio"
    if definition.is_websocket:
        return "websocket"
    return "sse" if definition.transport == "sse" else "http"
