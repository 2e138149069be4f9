"""Which connection of this edge carries which stream of an answer: no message may be sent on two.

Spec: MCP 2025-11-25, basic/transports: a message goes out on one of a client's streams only.
"""

from __future__ import annotations

from typing import Protocol


class Carrier(Protocol):
    """A connection. `session` and `key_id` say with whose end it ends too; empty: with nobody's."""

    session: str
    key_id: str

    def let_go(self) -> None:
        """Another connection carries the stream from now on, or nobody does."""


class Carriers:
    """By the name of the stream."""

    def __init__(self) -> None:
        self._carriers: dict[str, Carrier] = {}

    def take(self, stream: str, carrier: Carrier) -> None:
        """This connection carries the stream now; whichever did lets it go."""
        self.release(stream)
        self._carriers[stream] = carrier

    def release(self, stream: str) -> None:
        """Another edge carries it now."""
        carrier = self._carriers.pop(stream, None)
        if carrier is not None:
            carrier.let_go()

    def leave(self, stream: str, carrier: Carrier) -> None:
        """The connection is over."""
        if self._carriers.get(stream) is carrier:
            del self._carriers[stream]

    def close_session(self, session: str) -> None:
        """The session was deleted."""
        self._close([stream for stream, carrier in self._carriers.items() if carrier.session == session])

    def close_key(self, key_id: str) -> None:
        """The token was revoked."""
        self._close([stream for stream, carrier in self._carriers.items() if carrier.key_id == key_id])

    def _close(self, streams: list[str]) -> None:
        for stream in streams:
            self.release(stream)
