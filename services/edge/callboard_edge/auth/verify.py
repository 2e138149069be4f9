"""From an Authorization header to a principal.

authsvc verifies; for a JWT it is asked for the grant behind it alone (`access_tokens.py`). The edge remembers for
seconds and forgets at once when a revocation is pushed. While authsvc is away a token verified lately goes on working,
up to the hard limit.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final

import structlog

from callboard.contracts import subjects
from callboard.contracts.access import Principal, VerifyToken
from callboard.contracts.problems import Problem
from callboard.kernel.tokens import key_id_of
from callboard.platform.bus import Bus
from callboard_edge.auth.access_tokens import AccessTokens, Audience, invalid, is_jwt

log = structlog.get_logger()
MAX_KEPT = 50_000
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


class _Known:
    """A token that was good at `at`. `audience`: the one place it is for; None: any that its principal may enter."""

    __slots__ = ("at", "audience", "expires", "principal", "refreshing")

    def __init__(self, principal: Principal, at: float, audience: Audience | None, expires: float | None) -> None:
        self.principal = principal
        self.at = at
        self.audience = audience
        self.expires = expires
        self.refreshing = False


class Tokens:
    """Verified tokens of this instance."""

    def __init__(self, bus: Bus, access_tokens: AccessTokens, soft: float, hard: float) -> None:
        self._bus = bus
        self._access_tokens = access_tokens
        self._soft = min(soft, hard)
        self._hard = hard
        self._known: dict[str, _Known] = {}
        self._forgotten = 0
        self._refreshes: set[asyncio.Task[None]] = set()

    async def authenticate(self, authorization: str | None, entering: Audience | None = None) -> Principal:
        """The principal of a `Bearer` header; `auth.required` without one, `auth.invalid` for a bad one.

        `entering`: the MCP endpoint that is asked. Access tokens (JWTs) are good there only, and each at one.
        """
        if not authorization:
            raise Problem("auth.required", "this wants a token")
        if (remembered := self.remembered(authorization, entering)) is not None:
            return remembered
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Problem("auth.required", "the Authorization header is not `Bearer <token>`")
        known = await self._good(token.strip())
        if known.audience is not None and known.audience != entering:
            raise invalid()
        return known.principal

    def remembered(self, authorization: str, entering: Audience | None) -> Principal | None:
        """The same without waiting, while nobody need be asked about the token; None: see `authenticate`."""
        known = self._known.get(authorization[7:]) if authorization.startswith("Bearer ") else None
        if known is None or time.monotonic() - known.at > self._soft:
            return None
        if known.expires is not None and known.expires <= time.time():
            return None
        return known.principal if known.audience is None or known.audience == entering else None

    async def _good(self, token: str) -> _Known:
        known = self._known.get(token)
        if known is None:
            return await self._verify(token)
        age = time.monotonic() - known.at
        if age > self._hard or (known.expires is not None and known.expires <= time.time()):
            del self._known[token]
            return await self._verify(token)
        if age > self._soft and not known.refreshing:
            known.refreshing = True
            task = asyncio.create_task(self._refresh(token, known))
            self._refreshes.add(task)
            task.add_done_callback(self._refreshes.discard)
        return known

    async def _verify(self, token: str) -> _Known:
        if _TOKEN68.fullmatch(token) is None:
            raise Problem("auth.malformed", "the Authorization header is not `Bearer <token>`")
        while True:
            before = self._forgotten
            known = await self._looked_up(token)
            # The answer may be older than what was pushed while it was on its way.
            if before == self._forgotten:
                break
        if len(self._known) >= MAX_KEPT:
            self._known.clear()
        self._known[token] = known
        return known

    async def _looked_up(self, token: str) -> _Known:
        if is_jwt(token):
            principal, audience, expires = await self._access_tokens.verify(token)
            return _Known(principal, time.monotonic(), audience, expires)
        if key_id_of(token) is None:
            raise invalid()
        principal = await self._bus.ask(subjects.VERIFY_TOKEN, VerifyToken(token=token), Principal, 5.0)
        ends = principal.expires_at
        return _Known(principal, time.monotonic(), None, None if ends is None else ends.timestamp())

    async def _refresh(self, token: str, known: _Known) -> None:
        try:
            await self._verify(token)
        except Problem as problem:
            known.refreshing = False
            if problem.code == "auth.invalid":
                self._known.pop(token, None)

    def forget(self, key_id: str) -> None:
        """A token was revoked, or whoever has it may do something else now."""
        self._forgotten += 1
        for token in [t for t, known in self._known.items() if known.principal.key_id == key_id]:
            del self._known[token]

    async def doubt_all(self) -> None:
        """The bus was away, and a revocation may have been missed: verify every token again before its next use."""
        self._forgotten += 1
        self._known.clear()
