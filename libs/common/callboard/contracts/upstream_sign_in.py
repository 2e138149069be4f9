"""Signing in to upstream servers: what connectors ask for, and what a person's browser brings.

A grant belongs to (organisation, server, subject). The subject is empty for what all callers of a server share (and for
listing what it offers), else it names the caller. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class AskUpstreamToken(msgspec.Struct, frozen=True, kw_only=True, tag="upstream_token?", tag_field="type"):
    """connector > authsvc: an access token to use now.

    After a refusal: the HTTP `status`, the `WWW-Authenticate` header as `challenge`, and the version of the token that
    was `refused` (0: none was sent). `attended`: there is somebody who can be sent to a browser.
    """

    organisation: str
    server: str
    subject: str = ""
    attended: bool = False
    status: int = 0
    challenge: str = ""
    refused: int = 0


class UpstreamToken(msgspec.Struct, frozen=True, kw_only=True, tag="upstream_token", tag_field="type"):
    """The answer. An empty `token`: none is held, so try without.

    From `renew_at` on (epoch seconds; 0: not known) another one is to be asked for, some time before it ends.
    """

    token: str = ""
    renew_at: float = 0.0
    version: int = 0

    def __repr__(self) -> str:
        return f"UpstreamToken(version={self.version})"


class OpenSignIn(msgspec.Struct, frozen=True, kw_only=True, tag="sign_in.open", tag_field="type"):
    """edge > authsvc: make a link with which somebody signs in to a server."""

    organisation: str
    server: str
    subject: str = ""
    actor: str = ""


class SignInLink(msgspec.Struct, frozen=True, kw_only=True, tag="sign_in.link", tag_field="type"):
    """The answer: where the person goes, and until when."""

    url: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"SignInLink(expires_at={self.expires_at!r})"


class AskSignIn(msgspec.Struct, frozen=True, kw_only=True, tag="sign_in?", tag_field="type"):
    """edge > authsvc: what is behind this link, to show it before anything happens, to the person who is signed in."""

    handle: str
    person: str = ""

    def __repr__(self) -> str:
        return "AskSignIn()"


class UpstreamSignIn(msgspec.Struct, frozen=True, kw_only=True, tag="sign_in", tag_field="type"):
    """The answer. `subject` as in a grant; `scopes` are those that the server asked for, if it did."""

    organisation: str
    server: str
    subject: str
    server_url: str
    scopes: tuple[str, ...] = ()


class BeginSignIn(msgspec.Struct, frozen=True, kw_only=True, tag="sign_in.begin", tag_field="type"):
    """edge > authsvc: the person agreed, in the browser with this key. `person`: who is signed in there."""

    handle: str
    browser: str
    person: str = ""

    def __repr__(self) -> str:
        return "BeginSignIn()"


class SignInBegun(msgspec.Struct, frozen=True, kw_only=True, tag="sign_in.begun", tag_field="type"):
    """The answer: where the browser goes now."""

    url: str

    def __repr__(self) -> str:
        return "SignInBegun()"


class FinishSignIn(msgspec.Struct, frozen=True, kw_only=True, tag="sign_in.finish", tag_field="type"):
    """edge > authsvc: the browser came back with this; None is what was not there."""

    browser: str
    state: str
    code: str | None = None
    iss: str | None = None
    error: str | None = None
    person: str = ""

    def __repr__(self) -> str:
        return "FinishSignIn()"


class SignInFinished(msgspec.Struct, frozen=True, kw_only=True, tag="sign_in.done", tag_field="type"):
    """The answer: what is connected now."""

    organisation: str
    server: str
    subject: str


class UpstreamSignOut(msgspec.Struct, frozen=True, kw_only=True, tag="sign_in.out", tag_field="type"):
    """Forget the tokens of a grant, and have them revoked where the authorization server can."""

    command_id: str
    organisation: str
    server: str
    subject: str = ""
    actor: str = ""


class AskSignIns(msgspec.Struct, frozen=True, kw_only=True, tag="sign_ins?", tag_field="type"):
    """Who is signed in to a server."""

    organisation: str
    server: str


class SignInLine(msgspec.Struct, frozen=True, kw_only=True):
    """One grant as listed. `state`: "connected", or "reconnect" when only a person can make it usable again."""

    subject: str
    state: str
    issuer: str
    scopes: tuple[str, ...]
    updated_at: datetime


class SignIns(msgspec.Struct, frozen=True, kw_only=True, tag="sign_ins", tag_field="type"):
    """Answer to `AskSignIns`."""

    grants: tuple[SignInLine, ...]
