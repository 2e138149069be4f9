"""What a client of the handshake era said that a server must hear again when it has forgotten the session. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from callboard.bridge.messages import Envelope, member, notification

log = logging.getLogger("callboard.bridge")
INITIALIZED: Final = notification("notifications/initialized")
KEPT: Final = frozenset({"logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
"""Methods whose accepted requests are to be remembered."""
_LISTS: Final = ("tools", "prompts", "resources")


class _Result(msgspec.Struct, frozen=True, rename="camel"):
    protocol_version: str = ""
    capabilities: dict[str, Any] = {}


class _Subscription(msgspec.Struct, frozen=True):
    uri: str


_result = msgspec.json.Decoder(_Result).decode
_subscription = msgspec.json.Decoder(_Subscription).decode


class Said:
    """`initialize` is the client's line, `version` the revision agreed on; both empty before the handshake."""

    def __init__(self) -> None:
        self.initialize = b""
        self.version = ""
        self._lists: tuple[str, ...] = ()
        self._subscriptions: dict[str, bytes] = {}
        self._level = b""

    def initialized(self, initialize: bytes, result: bytes) -> None:
        """The server answered an `initialize`."""
        try:
            found = _result(result)
        except msgspec.DecodeError:
            found = _Result()
        if self.version and self.version != found.protocol_version and initialize == self.initialize:
            log.warning("the server now speaks %s instead of %s", found.protocol_version, self.version)
        elif initialize != self.initialize:
            self._subscriptions.clear()
            self._level = b""
        self.initialize, self.version = initialize, found.protocol_version
        if not all(" " < c <= "~" for c in self.version):
            self.version = ""
        declared = found.capabilities
        self._lists = tuple(k for k in _LISTS if isinstance(declared.get(k), dict) and declared[k].get("listChanged"))

    def remember(self, message: Envelope, line: bytes) -> None:
        """The server accepted a request of the client that a new session needs as well."""
        if message.method == "logging/setLevel":
            self._level = line
            return
        try:
            uri = _subscription(message.params).uri
        except msgspec.DecodeError:
            return
        if message.method == "resources/subscribe":
            self._subscriptions[uri] = line
        elif message.method == "resources/unsubscribe":
            self._subscriptions.pop(uri, None)

    def to_repeat(self) -> list[bytes]:
        """The client's lines that a new session needs, after `initialize` and `initialized`."""
        return [*self._subscriptions.values(), *([self._level] if self._level else [])]

    def news(self) -> list[bytes]:
        """What may have changed while there was no session."""
        return news(self._lists, self._subscriptions)


def news(lists: Iterable[str], uris: Iterable[str], meta: bytes = b"") -> list[bytes]:
    """The notifications that these lists and resources may be others now."""
    told = [notification(f"notifications/{kind}/list_changed", meta) for kind in lists]
    return told + [notification("notifications/resources/updated", member("uri", uri), meta) for uri in uris]
