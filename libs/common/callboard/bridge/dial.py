"""How a WebSocket to the endpoint is opened, and what it means when it is not."""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

import callboard
from callboard.bridge.endpoint import Unreached, is_loopback, refusal_of
from callboard.bridge.messages import Refused, problem_object
from callboard.contracts.problems import Problem

log = logging.getLogger("callboard.bridge")
_SUBPROTOCOL: Final = Subprotocol("mcp")
_AWAY: Final = frozenset({429, 500, 502, 503, 504})
_OPEN_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 1.0
_PING_SECONDS: Final = 20.0


class _Straight(connect):
    """Redirects are not followed: the token is for this place only."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Dial:
    """One endpoint. `limit`: bytes of a message."""

    def __init__(self, url: str, token: str, limit: int) -> None:
        parts = urlsplit(url)
        self.shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self._url = url
        self._limit = limit
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # A proxy of the environment cannot reach our own machine.
        self._direct = is_loopback(parts.hostname or "")
        # It tells of every connection that breaks, with a trace; the bridge says that itself.
        logging.getLogger("websockets.client").setLevel(logging.CRITICAL)

    async def open(self) -> ClientConnection:
        """Raises `Unreached` when it is worth trying again, else `Refused`."""
        try:
            socket = await _Straight(
                self._url,
                subprotocols=[_SUBPROTOCOL],
                additional_headers=self._headers,
                user_agent_header=f"callboard-bridge/{callboard.__version__}",
                proxy=None if self._direct else True,
                compression=None,
                max_size=self._limit,
                open_timeout=_OPEN_SECONDS,
                close_timeout=_CLOSE_SECONDS,
                ping_interval=_PING_SECONDS,
                ping_timeout=_PING_SECONDS,
            )
        except InvalidStatus as answer:
            raise self._refusal(answer.response.status_code) from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise Unreached(str(error)[:200] or type(error).__name__, sent=False) from None
        if socket.subprotocol != _SUBPROTOCOL:
            await socket.close()
            raise Refused(problem_object(Problem("server.invalid_answer", f"{self.shown} does not speak MCP")))
        return socket

    def _refusal(self, status: int) -> Exception:
        if status in _AWAY:
            return Unreached(f"HTTP {status}", sent=False)
        if status in (401, 403):
            text = refusal_of(self.shown, status, has_token=bool(self._headers))
            log.error(text)
            return Refused(problem_object(Problem("auth.invalid" if status == 401 else "auth.forbidden", text)))
        text = f"{self.shown} answered HTTP {status} and not like an MCP server"
        return Refused(problem_object(Problem("server.invalid_answer", text)))
