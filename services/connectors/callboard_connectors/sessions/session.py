"""What the room needs of a session with an upstream, whatever carries it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from callboard_connectors.sessions.domain import Opening
from callboard_connectors.transports.envelope import Envelope


class Listener(Protocol):
    """Who made a request: hears the notifications that belong to it, before its answer."""

    async def notified(self, envelope: Envelope, raw: bytes) -> None:
        """A notification of the upstream, as it came."""

    def flooded(self) -> None:
        """More notifications came than can be kept until they are heard; they are dropped."""

    def written(self) -> None:
        """From here on the request may have been executed."""

    async def paused(self, milliseconds: int) -> None:
        """The upstream closed its stream without an answer: it wants to be asked again after this time."""

    async def asked(self, envelope: Envelope) -> bytes | None:
        """A request of the upstream: `{"result": …}` or `{"error": …}`, or None when nobody can be asked."""


class Watcher(Protocol):
    """Who listens to what a server says by itself."""

    def opened(self) -> None:
        """From here on nothing that the server says is missed."""

    def changed(self) -> None:
        """A list is another one."""

    def updated(self, uri: str) -> None:
        """A resource is another one."""

    def told(self, envelope: Envelope) -> bool:
        """Something else; whether it is of interest here."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A request as it is sent. `name` is what the `Mcp-Name` header mirrors; `params` are extra headers."""

    id: int
    method: str
    message: bytes
    name: str = ""
    headers: dict[str, str] | None = None


class Session(Protocol):
    """A connection to one upstream after the era was agreed. `log_level`: what a handshake server was told to send."""

    opening: Opening
    transport: str
    """What carries it, as `callboard status` says it: http, stdio, sse, websocket."""
    tells_its_end: bool
    """Whether it ends with its connection and says so to `on_end`; else the next answer shows that it is lost."""
    log_level: str

    def next_id(self) -> int:
        """A request id that this session has not used."""

    async def call(self, outgoing: Outgoing, listener: Listener) -> Envelope:
        """Send once and wait for the answer (result or error).

        Cancelling the task cancels the request upstream. Raises `TransportFailure`, `SessionUnknown`,
        `InvalidAnswer`, `StatusRefused`.
        """

    async def ask(self, method: str, params: dict[str, object], within: float) -> bytes:
        """A request of our own; the raw result. Raises `RpcRefused` too, and TimeoutError."""

    async def listen(self, watcher: Watcher, uris: frozenset[str]) -> bool:
        """Tell the watcher of changed lists and of updates of these resources until the stream ends.

        False when the server has no such stream.
        """

    def on_end(self, callback: Callable[[str], None]) -> None:
        """Call this with the reason when the session is over for good."""

    async def close(self) -> None:
        """Say goodbye and let go."""


class Unheard:
    """A listener that does not care."""

    async def notified(self, envelope: Envelope, raw: bytes) -> None:
        """Not for anybody."""

    def flooded(self) -> None:
        """Our own requests have their time, and no more."""

    def written(self) -> None:
        """Our own requests only read."""

    async def paused(self, milliseconds: int) -> None:
        """Nobody has to be told."""

    async def asked(self, envelope: Envelope) -> bytes | None:
        """There is no client behind our own requests."""
        return None


UNHEARD = Unheard()
LIST_CHANGED = frozenset(
    {
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
    }
)
UPDATED = "notifications/resources/updated"


class _Updated(msgspec.Struct):
    uri: str = ""


_updated = msgspec.json.Decoder(_Updated).decode


def subscription(uris: frozenset[str]) -> dict[str, object]:
    """What `subscriptions/listen` asks for."""
    lists: dict[str, object] = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
    return {**lists, "resourceSubscriptions": sorted(uris)} if uris else lists


def tell(watcher: Watcher, found: Envelope) -> bool:
    """Pass a notification of a server's own stream on; False for one that is none of ours."""
    if found.method in LIST_CHANGED:
        watcher.changed()
        return True
    if found.method == UPDATED:
        try:
            watcher.updated(_updated(found.params).uri)
        except msgspec.DecodeError:
            return True
        return True
    return watcher.told(found)
