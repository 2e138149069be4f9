"""How a transport fails. Whether the request was written decides if it may be sent again."""

from __future__ import annotations


class TransportFailure(Exception):
    """The upstream did not answer. `sent` is False only when nothing of the request can have arrived."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class SessionUnknown(Exception):
    """The upstream says that it does not know our session: the request was not executed."""


class InvalidAnswer(Exception):
    """The upstream answered something that is not MCP."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StatusRefused(Exception):
    """The upstream answered with an HTTP status that says no, and no JSON-RPC error.

    `challenge` is its `WWW-Authenticate` header, where it was looked at.
    """

    def __init__(self, status: int, reason: str, challenge: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.challenge = challenge


def status_words(status: int) -> str:
    """What a status that says no means, as a sentence without its subject."""
    if status in (401, 403):
        return f"refused our credentials (HTTP {status})"
    if 300 <= status < 400:
        return f"redirects elsewhere (HTTP {status}); register the URL it redirects to"
    if status == 404:
        return "has nothing at this path (HTTP 404)"
    if status == 429:
        return "asks for fewer requests (HTTP 429)"
    return f"answered HTTP {status}"
