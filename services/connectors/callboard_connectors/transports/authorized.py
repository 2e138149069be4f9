"""A way to an HTTP upstream that wants an access token with every request.

Above: `sessions.http_session`, `transports.sse_link`, which do not know of it. The token goes behind the last header of
a request that is ready, so nothing that was prepared has to be made again when it changes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from callboard.platform.egress import Egress
from callboard_connectors.transports.http import HttpLink
from callboard_connectors.transports.http_wire import Response

MOST_REFUSALS = 3
"""How often one request is tried again with another token."""


class Bearer(Protocol):
    """Who has the access tokens of one session."""

    async def line(self) -> bytes:
        """The header to send now, with its line end; empty while no token is held. Raises `Problem`."""

    async def other_line(self, line: bytes, status: int, challenge: str) -> bytes | None:
        """The header to send in place of one that was refused; None when there is no use in another try.

        Raises `Problem("server.sign_in_needed")` when somebody has to consent first.
        """


class AuthorizedLink(HttpLink):
    """An `HttpLink` whose requests carry a token. A refused request was not executed, so it is sent again."""

    def __init__(self, url: str, max_body: int, connect_seconds: float, egress: Egress, bearer: Bearer) -> None:
        super().__init__(url, max_body, connect_seconds, egress)
        self._bearer = bearer

    async def post(self, head: bytes, body: bytes) -> Response:
        """See `HttpLink.post`."""
        send = super().post
        return await self._sent(lambda line: send(head + line, body))

    async def ask(self, head: bytes) -> Response:
        """See `HttpLink.ask`."""
        send = super().ask
        return await self._sent(lambda line: send(head + line))

    async def _sent(self, send: Callable[[bytes], Awaitable[Response]]) -> Response:
        line = await self._bearer.line()
        response = await send(line)
        for _ in range(MOST_REFUSALS):
            other = await self._after(response, line)
            if other is None:
                break
            line = other
            response = await send(line)
        return response

    async def _after(self, response: Response, line: bytes) -> bytes | None:
        if not was_refused(response):
            return None
        challenge = response.header(b"www-authenticate")
        other = await self._bearer.other_line(line, response.status, challenge)
        if other is not None:
            self.let_go(response)
        return other


def was_refused(response: Response) -> bool:
    """Whether the token was the reason: any 401, and a 403 that names a scope."""
    if response.status == 401:
        return True
    return response.status == 403 and "insufficient_scope" in response.header(b"www-authenticate")


def link_to(url: str, max_body: int, connect_seconds: float, egress: Egress, bearer: Bearer | None) -> HttpLink:
    """The link to a server, with tokens where it wants them."""
    if bearer is None:
        return HttpLink(url, max_body, connect_seconds, egress)
    return AuthorizedLink(url, max_body, connect_seconds, egress, bearer)
