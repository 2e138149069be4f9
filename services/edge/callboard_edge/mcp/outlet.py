"""Where what is said to a client for one request goes: the rules of both eras know only this, carriers implement it.

Implemented by `relay.HttpOutlet` and `kept_outlet.KeptOutlet` (Streamable HTTP), and by `connection.RequestOutlet`
(WebSocket, HTTP+SSE).
"""

from __future__ import annotations

from typing import Protocol


class Outlet(Protocol):
    """Exactly one of `result` and `error` ends it; `say` may come before."""

    @property
    def gives_up(self) -> bool:
        """Whether cancelling the task that serves the request means that the client gave the request up."""

    def resumes(self, call_id: str) -> bool:
        """This call is answered; whether its client can come back for what it missed of it."""

    async def result(self, result: bytes) -> None:
        """The answer: the raw `result`."""

    async def error(self, error: bytes, problem: str = "") -> None:
        """The answer: a raw JSON-RPC error object, and Callboard's code when the error is ours."""

    async def say(self, message: bytes) -> None:
        """A whole notification, or a question of the server, while the request runs."""

    async def idle(self) -> None:
        """Nothing to say for a while: a sign of life where the carrier has one."""

    async def pause(self, retry: bytes) -> None:
        """Where the client can come back, let it, after so many milliseconds; said only of calls that are resumed."""

    async def gone(self) -> None:
        """Returns when the client has gone; where the carrier ends the task itself, never."""
