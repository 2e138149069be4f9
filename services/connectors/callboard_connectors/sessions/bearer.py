"""The access tokens of one session, as authsvc gives them out; see `transports.authorized.Bearer`."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Protocol

from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import AskUpstreamToken, UpstreamToken

FORCED_SECONDS = 60.0
"""A server that refuses token after token gets no more than one new one in this time."""
_TOKEN = re.compile(r"[\x21-\x7e]+")


class SignIns(Protocol):
    """Who has the grants: authsvc."""

    async def token(self, question: AskUpstreamToken) -> UpstreamToken:
        """Raises `Problem`: `server.sign_in_needed`, `server.sign_in_failed`."""


class SessionBearer:
    """The tokens of one subject at one server. An empty subject: what all callers share."""

    def __init__(self, sign_ins: SignIns, organisation: str, server: str, subject: str) -> None:
        self._sign_ins = sign_ins
        self._organisation = organisation
        self._server = server
        self._subject = subject
        self._held: UpstreamToken | None = None
        self._line = b""
        self._asking = asyncio.Lock()
        self._forced = -FORCED_SECONDS

    async def line(self) -> bytes:
        """See `Bearer.line`."""
        held = self._held
        if held is None or 0 < held.renew_at <= time.time():
            await self._ask(held, 0, "")
        return self._line

    async def other_line(self, line: bytes, status: int, challenge: str) -> bytes | None:
        """See `Bearer.other_line`."""
        if line != self._line:
            return self._line  # another request found it out before
        now = time.monotonic()
        if status == 401 and line and now - self._forced < FORCED_SECONDS:
            await self._ask(self._held, 0, "")  # no new one for that, but somebody may have signed in meanwhile
        else:
            await self._ask(self._held, status, challenge)
            self._forced = now if status == 401 and line else self._forced
        return self._line if self._line != line else None

    async def _ask(self, held: UpstreamToken | None, status: int, challenge: str) -> None:
        async with self._asking:
            if self._held is not held:
                return  # answered while this one waited
            question = AskUpstreamToken(
                organisation=self._organisation,
                server=self._server,
                subject=self._subject,
                attended=bool(self._subject),
                status=status,
                challenge=challenge,
                refused=0 if held is None else held.version,
            )
            token = await self._sign_ins.token(question)
            if token.token and not _TOKEN.fullmatch(token.token):
                name = self._server
                raise Problem(
                    "server.sign_in_failed", f"server {name!r} has a token that no header can hold", server=name
                )
            self._held = token
            self._line = f"Authorization: Bearer {token.token}\r\n".encode() if token.token else b""
