"""From an Authorization header to a principal.

authsvc verifies; the edge remembers for seconds and forgets at once when a revocation is pushed. While authsvc is
away a token verified lately goes on working, up to the hard limit.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from callboard.contracts import subjects
from callboard.contracts.access import Principal, VerifyToken
from callboard.contracts.problems import Problem
from callboard.kernel.tokens import key_id_of
from callboard.platform.bus import Bus

log = structlog.get_logger()
MAX_KEPT = 50_000


class _Known:
    __slots__ = ("at", "principal", "refreshing")

    def __init__(self, principal: Principal, at: float) -> None:
        self.principal = principal
        self.at = at
        self.refreshing = False


class Tokens:
    """Verified tokens of this instance."""

    def __init__(self, bus: Bus, soft: float, hard: float) -> None:
        self._bus = bus
        self._soft = soft
        self._hard = hard
        self._known: dict[str, _Known] = {}
        self._forgotten = 0
        self._refreshes: set[asyncio.Task[None]] = set()

    async def authenticate(self, authorization: str | None) -> Principal:
        """The principal of a `Bearer` header; `auth.required` without one, `auth.invalid` for a bad one."""
        if not authorization:
            raise Problem("auth.required", "this wants a token")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Problem("auth.required", "the Authorization header is not `Bearer <token>`")
        return await self.principal(token.strip())

    async def principal(self, token: str) -> Principal:
        """The principal of a token."""
        known = self._known.get(token)
        if known is None:
            return await self._verify(token)
        age = time.monotonic() - known.at
        expires = known.principal.expires_at
        if age > self._hard or (expires is not None and expires.timestamp() <= time.time()):
            del self._known[token]
            return await self._verify(token)
        if age > self._soft and not known.refreshing:
            known.refreshing = True
            task = asyncio.create_task(self._refresh(token, known))
            self._refreshes.add(task)
            task.add_done_callback(self._refreshes.discard)
        return known.principal

    async def _verify(self, token: str) -> Principal:
        if key_id_of(token) is None:
            raise Problem("auth.invalid", "the token is not valid")
        while True:
            before = self._forgotten
            principal = await self._bus.ask(subjects.VERIFY_TOKEN, VerifyToken(token=token), Principal, 5.0)
            # The answer may be older than what was pushed while it was on its way.
            if before == self._forgotten:
                break
        if len(self._known) >= MAX_KEPT:
            self._known.clear()
        self._known[token] = _Known(principal, time.monotonic())
        return principal

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
