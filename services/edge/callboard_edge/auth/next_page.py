"""Where a browser goes after signing in: a path of ours, whatever it was asked for. Pure.

It is kept in a cookie while the browser is away at the identity provider; `__Host-` keeps others from planting one.
"""

from __future__ import annotations

from typing import Final

from litestar.datastructures import Cookie

START: Final = "/login"
NEXT: Final = "__Host-callboard-next"
_MAX_LENGTH: Final = 3000
_SECONDS: Final = 600


def own_path(wanted: str) -> str:
    """A path of this origin, and the login page (which says who is signed in) for everything that is none."""
    if not wanted.startswith("/") or wanted.startswith("//") or len(wanted) > _MAX_LENGTH:
        return START
    # Browsers take a backslash for a slash, and drop control characters before they look.
    if "\\" in wanted or not wanted.isascii() or any(character <= " " or character == "\x7f" for character in wanted):
        return START
    return wanted


def next_cookie(path: str) -> Cookie:
    """Keeps where to go on to, for ten minutes."""
    return Cookie(NEXT, value=own_path(path), max_age=_SECONDS, secure=True, httponly=True, samesite="lax")


def no_next_cookie() -> Cookie:
    """Forgets it."""
    return Cookie(NEXT, value="", max_age=0, secure=True, httponly=True, samesite="lax")
