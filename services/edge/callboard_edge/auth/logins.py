"""From the cookie of a browser session to the person who is signed in. Not accepted at MCP endpoints.

authsvc knows the sessions (`cb.ask.authsvc.session`); the edge remembers for seconds and forgets at once when it is
told that one ended or that its person may do something else now.

A change that comes with the cookie must show that a page of ours sent it: the header `X-CSRF-Token` with the text that
was answered at login, and nothing in `Origin` or `Sec-Fetch-Site` that says otherwise.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from callboard.contracts import subjects
from callboard.contracts.access import Principal
from callboard.contracts.people import AskExternal, AskSession, SignedIn
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus

COOKIE: Final = "__Host-callboard"
TICKET: Final = "__Host-callboard-login"
CSRF_HEADER: Final = "x-csrf-token"
MAX_KEPT: Final = 10_000
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Logins:
    """Sessions seen lately by this instance."""

    def __init__(self, bus: Bus, fresh: float) -> None:
        self._bus = bus
        self._fresh = fresh
        self._known: dict[str, tuple[SignedIn, float]] = {}
        self._vouched: dict[str, tuple[Principal, float]] = {}
        self._forgotten = 0

    async def signed_in(self, cookies: Mapping[str, str]) -> SignedIn:
        """Who is signed in; `auth.required` without the cookie, `auth.invalid` for a session that is not good."""
        session = cookies.get(COOKIE, "")
        if not session:
            raise Problem("auth.required", "nobody is signed in")
        known = self._known.get(session)
        if known is not None and time.monotonic() - known[1] < self._fresh:
            return known[0]
        while True:
            before = self._forgotten
            found = await self._bus.ask(subjects.SESSION, AskSession(session=session), SignedIn, 5.0)
            if before == self._forgotten:
                break
        if len(self._known) >= MAX_KEPT:
            self._known.clear()
        self._known[session] = (found, time.monotonic())
        return found

    async def vouched(self, token: str) -> Principal:
        """The person behind a JWT of the identity provider; `auth.invalid` for any other text."""
        known = self._vouched.get(token)
        if known is not None and time.monotonic() - known[1] < self._fresh:
            expires = known[0].expires_at
            if expires is None or time.time() < expires.timestamp():
                return known[0]
        while True:
            before = self._forgotten
            found = await self._bus.ask(subjects.EXTERNAL, AskExternal(token=token), Principal, 25.0)
            if before == self._forgotten:
                break
        if len(self._vouched) >= MAX_KEPT:
            self._vouched.clear()
        self._vouched[token] = (found, time.monotonic())
        return found

    def forget(self, key_id: str) -> None:
        """The session with this key ended, or its person may do something else now."""
        self._forgotten += 1
        for token in [t for t, vouched in self._vouched.items() if vouched[0].key_id == key_id]:
            del self._vouched[token]
        for session in [s for s, known in self._known.items() if known[0].principal.key_id == key_id]:
            del self._known[session]

    async def doubt_all(self) -> None:
        """The bus was away, and something may have been missed."""
        self._forgotten += 1
        self._known.clear()
        self._vouched.clear()


def jwt_of(authorization: str | None) -> str | None:
    """The JWT in a `Bearer` header; None when there is something else, such as a token of ours."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.count(".") == 2 else None


def require_own_page(method: str, headers: Mapping[str, str]) -> None:
    """Raise `auth.forbidden` for a change that a page of somebody else sent."""
    if method in _SAFE:
        return
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    try:
        foreign = origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        foreign = True
    if foreign or site not in (None, "same-origin", "none"):
        raise Problem("auth.forbidden", "the request comes from another site")


def require_csrf(method: str, headers: Mapping[str, str], signed_in: SignedIn) -> None:
    """Raise `auth.forbidden` for a change that comes with the cookie and without what only our pages know."""
    if method in _SAFE:
        return
    require_own_page(method, headers)
    if not hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), signed_in.csrf.encode()):
        raise Problem("auth.forbidden", "a change by a browser session needs the header X-CSRF-Token of that session")


def cookie_of(session: str) -> str:
    """The Set-Cookie header of a new session; `__Host-` keeps other hosts and plain HTTP from setting it."""
    return f"{COOKIE}={session}; Path=/; Secure; HttpOnly; SameSite=Lax"


def ticket_cookie(ticket: str) -> str:
    """The Set-Cookie header of a login that is under way at the identity provider, for ten minutes."""
    return f"{TICKET}={ticket}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"


def no_cookie() -> str:
    """The Set-Cookie header that makes a browser forget the session."""
    return f"{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
