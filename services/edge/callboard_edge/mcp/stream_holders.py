"""Which connection of this edge carries which stream of an answer: no message may be sent on two.

Spec: MCP 2025-11-25, basic/transports: a message goes out on one of a client's streams only.
"""

from __future__ import annotations

from typing import Protocol


class StreamHolder(Protocol):
    """A connection. `session` and `key_id` say with whose end it ends too; empty: with nobody's."""

    session: str
    key_id: str

    def let_go(self) -> None:
        """Another connection carries the stream from now on, or nobody does."""


class StreamHolders:
    """By the name of the stream."""

    def __init__(self) -> None:
        self._holders: dict[str, StreamHolder] = {}

    def take(self, stream: str, holder: StreamHolder) -> None:
        """This connection carries the stream now; whichever did lets it go."""
        self.release(stream)
        self._holders[stream] = holder

    def release(self, stream: str) -> None:
        """Another edge carries it now."""
        holder = self._holders.pop(stream, None)
        if holder is not None:
            holder.let_go()

    def leave(self, stream: str, holder: StreamHolder) -> None:
        """The connection is over."""
        if self._holders.get(stream) is holder:
            del self._holders[stream]

    def close_session(self, session: str) -> None:
        """The session was deleted."""
        self._close([stream for stream, holder in self._holders.items() if holder.session == session])

    def close_key(self, key_id: str) -> None:
        """The token was revoked."""
        self._close([stream for stream, holder in self._holders.items() if holder.key_id == key_id])

    def _close(self, streams: list[str]) -> None:
        for stream in streams:
            self.release(stream)
