"""Who visits a page, and whether a form comes from a page of ours.

A page that needs somebody sends the browser to `/login?next=...` and gets it back. A form brings a text that only the
page knew (`proof`), bound to the session and to what the form is about; and the browser must say that our own page sent
it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from litestar import Request
from litestar.datastructures import Cookie

from callboard.contracts.people import SignedIn
from callboard.contracts.problems import Problem
from callboard_edge.auth.logins import Logins
from callboard_edge.auth.next_page import START, own_path

AnyRequest = Request[Any, Any, Any]
FORM: Final = "__Host-callboard-form"
MAX_FORM: Final = 64_000
_FORM_SECONDS: Final = 3600
_SECRET: Final = re.compile("[A-Za-z0-9_-]{43}")
_MAX_FIELDS: Final = 16


def login_for(request: AnyRequest) -> str:
    """The login page that leads back to the page of this request."""
    query = request.scope["query_string"].decode("latin-1")
    here = request.scope["path"] + (f"?{query}" if query else "")
    return f"{START}?{urlencode({'next': own_path(here)})}"


async def visitor(logins: Logins, request: AnyRequest) -> SignedIn | None:
    """Who is signed in with this browser, if anybody is."""
    try:
        return await logins.signed_in(request.cookies)
    except Problem as problem:
        if problem.code not in ("auth.required", "auth.invalid"):
            raise
        return None


def proof(signed_in: SignedIn, subject: str) -> str:
    """What a form about this subject brings along in this session."""
    return hmac.digest(signed_in.csrf.encode(), subject.encode(), "sha256").hex()


def require_proof(fields: Mapping[str, str], signed_in: SignedIn, subject: str) -> None:
    """Raise `auth.forbidden` for a form that was not made for this session and subject."""
    if not hmac.compare_digest(fields.get("proof", "").encode(), proof(signed_in, subject).encode()):
        raise Problem("auth.forbidden", "this form is not of the person who is signed in now; open the page again")


def require_own_form(request: AnyRequest, origin: str) -> None:
    """Raise `auth.forbidden` unless the browser says that a page of ours sent the form (`Origin`, Fetch Metadata).

    Ours is `origin`, the public one, and the host by which this request came, such as `localhost`: its cookies are not
    those of the public one. Browsers send `Origin` with every form that is posted, so one without it is nobody's form.
    """
    site, sender = request.headers.get("sec-fetch-site", "same-origin"), request.headers.get("origin", "").lower()
    ours = sender == origin or sender.partition("://")[2] == request.headers.get("host", "").lower() != ""
    if site != "same-origin" or not ours:
        raise Problem("auth.forbidden", "the form was sent from another page than Callboard's own")


def form_secret(request: AnyRequest) -> Cookie:
    """What a form brings along before anybody is signed in: the text of a cookie that only our origin can set."""
    # One that is there is kept, so that a form in another tab goes on working.
    value = request.cookies.get(FORM, "")
    if _SECRET.fullmatch(value) is None:
        value = secrets.token_urlsafe(32)
    return Cookie(FORM, value=value, max_age=_FORM_SECONDS, secure=True, httponly=True, samesite="lax")


def has_form_secret(request: AnyRequest, fields: Mapping[str, str]) -> bool:
    """Whether the form was made for this browser."""
    expected = request.cookies.get(FORM, "")
    return bool(expected) and hmac.compare_digest(fields.get("csrf", "").encode(), expected.encode())


def origin_of(url: str) -> str:
    """Scheme and authority, in lower case."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


async def form(request: AnyRequest) -> dict[str, str]:
    """The fields of a form, each once; whatever is no text or comes again is not there."""
    sent = await request.form()
    names = list(sent.keys())[:_MAX_FIELDS]
    return {name: value for name in names if isinstance(value := sent[name], str) and len(sent.getall(name)) == 1}


def address(request: AnyRequest) -> str:
    """Where the request comes from."""
    if request.client is None:
        raise Problem("internal.unexpected", "a request without an address")
    return request.client.host
