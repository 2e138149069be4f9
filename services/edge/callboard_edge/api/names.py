"""Names of persons: opened in what the management API answers, sealed in what it is asked.

Whoever may read an answer may read the names in it, so they are opened in its bytes, whatever it is; routes marked
`AS_STORED` give bytes that somebody verifies elsewhere. Above: `routes.py`. Below: authsvc, which has the keys.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

import structlog
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

from callboard.contracts import subjects
from callboard.contracts.personal import AskPersons, OpenedPersonal, OpenPersonal, Persons
from callboard.contracts.problems import Problem
from callboard.kernel.personal import sealed_in, with_names
from callboard.platform.bus import Bus

log = structlog.get_logger()
AS_STORED: Final[dict[str, Any]] = {"as_stored": True}
"""`opt` of a route whose answer keeps what is sealed."""
KEPT_SECONDS: Final = 5.0
"""How long an edge goes on showing the name of somebody who was erased by way of another one."""
MAX_KEPT: Final = 20_000


class Names:
    """What this edge opened lately. While authsvc is away, persons are shown by their ids."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._kept: dict[tuple[str, str], tuple[float, str]] = {}

    def forget(self) -> None:
        """Somebody was erased."""
        self._kept.clear()

    async def opened(self, organisation: str, data: bytes) -> bytes:
        """The JSON with names in it, as far as they are this organisation's."""
        sealed = sealed_in(data) if b"~" in data else set()
        return with_names(data, await self._names(organisation, sealed)) if sealed else data

    async def sealed(self, organisation: str, client: str) -> str:
        """What stands in the log for a client that a caller names; `client` itself when it is no person."""
        if not client:
            return client
        found = await self._bus.ask(subjects.PERSONS, AskPersons(organisation=organisation, person=client), Persons)
        return next((line.name for line in found.persons if line.name), client)

    async def _names(self, organisation: str, sealed: Iterable[str]) -> dict[str, str]:
        now = time.monotonic()
        known = {
            text: plain
            for text in sealed
            for at, plain in [self._kept.get((organisation, text), (-KEPT_SECONDS, ""))]
            if now - at < KEPT_SECONDS and plain
        }
        missing = tuple(text for text in sealed if text not in known)
        if not missing:
            return known
        try:
            question = OpenPersonal(organisation=organisation, sealed=missing)
            fresh = (await self._bus.ask(subjects.OPEN_PERSONAL, question, OpenedPersonal)).opened
        except Problem as problem:
            log.info("names_not_opened", code=problem.code)
            return known
        if len(self._kept) + len(fresh) > MAX_KEPT:
            self._kept.clear()
        self._kept |= {(organisation, text): (now, plain) for text, plain in fresh.items()}
        return known | fresh


class Opening:
    """ASGI middleware of the routes under an organisation. A body comes whole, or in pieces that cut no name."""

    def __init__(self, app: ASGIApp, names: Names) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what the route answers, opened."""
        organisation = scope["path_params"].get("organisation")
        if organisation is None or scope["route_handler"].opt.get("as_stored"):
            await self._app(scope, receive, send)
            return
        start: HTTPResponseStartEvent | None = None

        async def opened(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if message["type"] == "http.response.body":
                body = await self._names.opened(str(organisation), message["body"])
                message = {**message, "body": body}
                if start is not None:
                    await send(_with_length(start, len(body)))
                    start = None
            await send(message)

        await self._app(scope, receive, opened)


def _with_length(start: HTTPResponseStartEvent, length: int) -> HTTPResponseStartEvent:
    headers = [
        (name, str(length).encode() if name.lower() == b"content-length" else value) for name, value in start["headers"]
    ]
    return {**start, "headers": headers}
