"""Grants: what a person, or an organisation for a service account, lets a client do. Rules, without any IO.

consent ──> code (60 s, once) ──> access tokens and a line of refresh tokens ──> revoked, or unused for 90 days
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, assert_never
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from callboard.contracts.access_events import (
    ConsentGiven,
    GrantEnd,
    GrantIssued,
    GrantRevoked,
    RefreshReplayDetected,
)
from callboard.contracts.problems import Problem
from callboard.kernel.access_tokens import BASELINE, SCOPES, resource_of, resource_url, scopes_of
from callboard.kernel.decider import Decider
from callboard.kernel.redirect_uris import is_loopback

REQUEST_LIFE: Final = timedelta(minutes=15)
CODE_LIFE: Final = timedelta(seconds=60)
ACCESS_LIFE: Final = timedelta(hours=1)
REFRESH_LIFE: Final = timedelta(days=90)
OVERLAP: Final = timedelta(seconds=60)
"""How long a refresh token goes on working once the next one was used: its client may run in several processes."""
KEPT_GENERATIONS: Final = 200
"""How many refresh tokens of a grant are remembered as replaced; older ones are simply unknown."""
LISTED: Final = timedelta(days=30)
"""How long grants that ended are listed."""
OFFLINE: Final = "offline_access"
"""Clients ask for it to get a refresh token; here every client that can refresh gets one."""
WORDS: Final[Mapping[str, str]] = {
    "mcp:use": "use its tools, prompts and resources as you",
    "mcp:read": "see call records, history and members as you may",
    "mcp:operate": "change drafts, roll back and decide about changed tools as you may",
    "mcp:manage": "publish, and manage servers, secrets and tokens as you may",
}
Means = Literal["consent", "client_credentials", "assertion"]
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def refused(error: str, description: str) -> Problem:
    """A refusal of the protocol; `error` is a code of RFC 6749, 7591 or 8707."""
    return Problem("oauth.refused", description, error=error)


class Place(msgspec.Struct, frozen=True):
    """What a token is for: one playbook, all of an organisation (`union`), or nothing."""

    resource: str
    organisation: str = ""
    playbook: str = ""
    union: bool = False


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One grant as stored. `organisation` empty: its tokens open nothing."""

    gid: str
    organisation: str
    member: str
    client_id: str
    client_name: str
    means: Means
    playbook: str
    resource: str
    scopes: tuple[str, ...]
    created_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    reason: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization request that waits for a person."""

    client_id: str
    redirect_uri: str
    named: bool
    challenge: str
    scopes: tuple[str, ...]
    resource: str
    expires_at: datetime
    state: str | None = None


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A code as stored, without its value."""

    grant: Grant
    redirect_uri: str
    named: bool
    challenge: str
    expires_at: datetime
    spent_at: datetime | None = None


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token as stored. `followed_at`: when the one after it was first used."""

    grant: Grant
    generation: int
    expires_at: datetime
    followed_at: datetime | None = None


# --- what is asked for -------------------------------------------------------------------------------


def place_of(public_url: str, resource: str) -> Place:
    """What a `resource` names (RFC 8707); `invalid_target` for anything that is not here. None named: nothing."""
    if not resource:
        return Place(public_url.rstrip("/"))
    found = resource_of(public_url, resource)
    if found is None:
        raise refused("invalid_target", "the resource is none of this server's")
    organisation, playbook = found
    return Place(resource_url(public_url, organisation, playbook), organisation, playbook, not playbook)


def check_same_resource(public_url: str, resource: str, grant: Grant) -> None:
    """Raise `invalid_target` when a token request names another resource than the grant is for."""
    if resource and place_of(public_url, resource).resource != grant.resource:
        raise refused("invalid_target", "the grant is for another resource")


def scopes_wanted(asked: Sequence[str]) -> tuple[str, ...]:
    """The scopes that a client gets for what it asked; ordinary use when it names none of ours."""
    return scopes_of(" ".join(asked)) or BASELINE


def scopes_within(asked: Sequence[str], grant: Grant) -> tuple[str, ...]:
    """The scopes of one more token; `invalid_scope` for more than was granted."""
    if not set(asked) <= {*grant.scopes, OFFLINE}:
        raise refused("invalid_scope", "the grant does not hold all of these scopes")
    return scopes_of(" ".join(asked)) or grant.scopes


def check_scopes(asked: Sequence[str]) -> None:
    """Raise `invalid_scope` when scopes are named and none of them is known here."""
    if asked and not any(scope in SCOPES or scope == OFFLINE for scope in asked):
        raise refused("invalid_scope", f"choose some of {' '.join(SCOPES)}")


# --- PKCE (RFC 7636), S256 only ----------------------------------------------------------------------


def check_challenge(challenge: str) -> None:
    """Raise `invalid_request` for a text that is no S256 challenge."""
    if _CHALLENGE.fullmatch(challenge) is None:
        raise refused("invalid_request", "code_challenge: an S256 challenge has 43 characters of base64url")


def answers_challenge(verifier: str, challenge: str) -> bool:
    """Whether this is the verifier of that challenge."""
    if _VERIFIER.fullmatch(verifier) is None:
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)


def check_code(code: Code, client_id: str, redirect_uri: str, verifier: str, now: datetime) -> None:
    """Raise `invalid_grant` unless this client may have the tokens of this code now. That it was used is not judged."""
    uri_fits = redirect_uri == code.redirect_uri if code.named else redirect_uri in ("", code.redirect_uri)
    fits = code.grant.client_id == client_id and uri_fits and answers_challenge(verifier, code.challenge)
    if not fits or now >= code.expires_at or code.grant.revoked_at is not None:
        raise unknown_code()


def unknown_code() -> Problem:
    """One answer for whatever is wrong with a code."""
    return refused("invalid_grant", "the code is unknown, used or over, or belongs to another request")


# --- refresh tokens (RFC 9700 section 4.14) ----------------------------------------------------------


def is_replay(refresh: Refresh, now: datetime) -> bool:
    """Whether this refresh token was replaced so long ago that no honest process still has it alone."""
    return refresh.followed_at is not None and now >= refresh.followed_at + OVERLAP


def next_random(key: bytes, presented: str) -> bytes:
    """The 40 bytes of the refresh token after this one.

    It follows from the one that was presented: whoever presents it at the same time gets the same next one, and so
    does a client that never saw the answer.
    """
    return hmac.digest(key, presented.encode(), hashlib.sha512)[:40]


# --- the way back to the client ----------------------------------------------------------------------


def answer_url(request: Request, issuer: str, **answer: str) -> str:
    """The redirect URI with `code` or `error`, and with `state` and `iss` (RFC 9207) in any case."""
    parameters = {**answer, "iss": issuer}
    if request.state is not None:
        parameters["state"] = request.state
    joint = "&" if urlsplit(request.redirect_uri).query else "?"
    return f"{request.redirect_uri}{joint}{urlencode(parameters, quote_via=quote)}"


def warnings_of(kind: str, request: Request, place: Place) -> tuple[str, ...]:
    """What a person should know before agreeing, in sentences."""
    found = []
    if is_loopback(request.redirect_uri) and kind == "document":
        found.append("Any program on your computer can pretend to be this client. Agree only if you just started it.")
    elif kind == "dynamic":
        found.append("This client introduced itself, and nobody has verified its name.")
    if not request.redirect_uri.startswith(("https:", "http:")):
        found.append("The answer goes to a program on your computer, and another one there could catch it.")
    if not place.playbook and not place.union:
        found.append("The client did not say what it wants to reach: its token will open nothing.")
    if place.union:
        found.append("The client will reach every playbook of the organisation.")
    return tuple(found)


# --- the log of one grant ----------------------------------------------------------------------------


class Give(msgspec.Struct, frozen=True, kw_only=True):
    """A grant comes to be."""

    grant: Grant


class End(msgspec.Struct, frozen=True, kw_only=True):
    """It ends. `generation`: of the refresh token that was presented too late, where one was."""

    gid: str
    member: str
    reason: GrantEnd
    generation: int = 0


class NoteGrant(msgspec.Struct, frozen=True, kw_only=True, tag="grant.note", tag_field="type"):
    """What becomes of a grant without a command of anybody's, in the form of one."""

    command_id: str
    organisation: str
    grant: str
    actor: str


Order = Give | End
GrantEvent = ConsentGiven | GrantIssued | GrantRevoked | RefreshReplayDetected


def stream_of(gid: str) -> str:
    """The stream of a grant, in its organisation's log."""
    return gid


def decide(order: Order, live: bool) -> Sequence[GrantEvent]:
    """What an order does to a grant."""
    match order:
        case Give():
            return (_given(order.grant),)
        case End():
            if not live:
                return ()
            ended = GrantRevoked(grant=order.gid, member=order.member, reason=order.reason)
            if order.reason == "refresh_replayed":
                return (RefreshReplayDetected(grant=order.gid, generation=order.generation), ended)
            return (ended,)
        case _:
            assert_never(order)


def _given(grant: Grant) -> ConsentGiven | GrantIssued:
    if grant.means == "consent":
        return ConsentGiven(
            grant=grant.gid,
            member=grant.member,
            client_id=grant.client_id,
            client_name=grant.client_name,
            playbook=grant.playbook,
            scopes=grant.scopes,
        )
    return GrantIssued(
        grant=grant.gid,
        member=grant.member,
        client_id=grant.client_id,
        means=grant.means,
        playbook=grant.playbook,
        scopes=grant.scopes,
    )


def evolve(live: bool, event: GrantEvent) -> bool:
    """Whether there is a grant."""
    match event:
        case ConsentGiven() | GrantIssued():
            return True
        case GrantRevoked():
            return False
        case RefreshReplayDetected():
            return live
        case _:
            assert_never(event)


GRANT = Decider[Order, bool, GrantEvent](False, decide, evolve)


def unknown_grant() -> Problem:
    """One answer for a grant that there is not, and one of somebody else."""
    return Problem("grant.unknown", "there is no such grant")


def unknown_consent() -> Problem:
    """One answer for every request that cannot be decided here."""
    return Problem("consent.unknown", "this request is unknown, was decided, or is over")
