"""A body has to come in time: whoever sends a byte now and then keeps a request open for ever otherwise.

Above: the management API, the pages and the authorization server, whose framework waits without a limit; MCP endpoints
hold to their own.
"""

from __future__ import annotations

import asyncio
from typing import Any

from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send

BODY_SECONDS = 20.0


class Timely:
    """An ASGI middleware; a body that is late ends its request with 408."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        deadline, whole = 0.0, False

        async def received() -> Any:
            nonlocal deadline, whole
            if whole:  # what is waited for now is the end of the connection
                return await receive()
            deadline = deadline or asyncio.get_running_loop().time() + BODY_SECONDS
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException("the body did not come in time", status_code=408) from None
            whole = not message.get("more_body")
            return message

        await self._app(scope, received, send)
