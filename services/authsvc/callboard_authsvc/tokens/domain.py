"""The tokens of one client: issued, perhaps replaced by another or revoked, never changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

import msgspec

from callboard.contracts.access_events import ClientTokenIssued, ClientTokenRevoked, ClientTokenRotated
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider
from callboard.kernel.names import is_slug
from callboard.kernel.permissions import SCOPES
from callboard.kernel.personal import person_of

ADMINISTER = "administer"
MAX_OVERLAP_SECONDS = 30 * 86_400
MAX_PLAYBOOKS = 64
MAX_SECONDS = 10 * 365 * 86_400
KEY_ID = re.compile(r"[0-9A-Za-z]{8}")
_GLOB = re.compile(r"[a-z0-9_*?!\[\]-]{1,128}")


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """Give the client one more token."""

    client: str
    key_id: str
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...] = ()
    expires_at: datetime | None = None
    member: str = ""


class Rotate(msgspec.Struct, frozen=True, kw_only=True):
    """One more token in the place of `former`, which goes on until a time."""

    former: str
    until: datetime
    issue: Issue


class Revoke(msgspec.Struct, frozen=True, kw_only=True):
    """Refuse one of the client's tokens from now on."""

    client: str
    key_id: str


Order = Issue | Rotate | Revoke
TokenEvent = ClientTokenIssued | ClientTokenRotated | ClientTokenRevoked


class Client(msgspec.Struct, frozen=True):
    """The key ids of a client."""

    issued: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    rotated: frozenset[str] = frozenset()


def stream_of(client: str) -> str:
    """The stream of a client, in its organisation's log; that of a person is called by their id."""
    return f"client-{person_of(client) or client}"


def check(client: str, scopes: Sequence[str], playbooks: Sequence[str], seconds: int | None) -> None:
    """Raise `argument.invalid`, naming the argument, for a token that cannot be issued. `seconds`: life time."""
    if not is_slug(client) and person_of(client) is None:
        raise _invalid("client", "use 1 to 63 of a-z, 0-9, _ and -, with a letter or digit at both ends")
    if not scopes or len(set(scopes)) != len(scopes) or not set(scopes) <= set(SCOPES):
        raise _invalid("scopes", f"name one or more of {', '.join(SCOPES)}, each once")
    if len(playbooks) > MAX_PLAYBOOKS:
        raise _invalid("playbooks", f"use at most {MAX_PLAYBOOKS} globs")
    if not all(_GLOB.fullmatch(glob) for glob in playbooks):
        raise _invalid("playbooks", "a glob consists of a-z, 0-9, _, -, *, ? and [ ]")
    if seconds is not None and not 0 < seconds <= MAX_SECONDS:
        raise _invalid("expires_in_seconds", f"use a number from 1 to {MAX_SECONDS}")


def _invalid(argument: str, message: str) -> Problem:
    return Problem("argument.invalid", f"{argument}: {message}", argument=argument)


def decide(order: Order, state: Client) -> Sequence[TokenEvent]:
    """A revoked token stays revoked: to revoke it again changes nothing."""
    match order:
        case Issue():
            return (_issued(order),)
        case Rotate():
            if order.former not in state.issued or order.former in state.revoked:
                raise unknown(order.former)
            if order.former in state.rotated:
                raise Problem("argument.invalid", f"token {order.former} was rotated already", argument="key_id")
            rotated = ClientTokenRotated(
                client=order.issue.client,
                key_id=order.former,
                replaced_by=order.issue.key_id,
                until=order.until,
            )
            return (_issued(order.issue), rotated)
        case Revoke():
            if order.key_id not in state.issued:
                raise unknown(order.key_id)
            if order.key_id in state.revoked:
                return ()
            return (ClientTokenRevoked(client=order.client, key_id=order.key_id),)
        case _:
            assert_never(order)


def _issued(order: Issue) -> ClientTokenIssued:
    check(order.client, order.scopes, order.playbooks, None)
    return ClientTokenIssued(
        client=order.client,
        key_id=order.key_id,
        scopes=order.scopes,
        playbooks=order.playbooks,
        expires_at=order.expires_at,
        member=order.member or msgspec.UNSET,
    )


def check_overlap(seconds: int) -> None:
    """Raise `argument.invalid` for a token that would go on for too long after it was replaced."""
    if not 0 <= seconds <= MAX_OVERLAP_SECONDS:
        raise _invalid("overlap_seconds", f"use a number from 0 to {MAX_OVERLAP_SECONDS}")


def evolve(state: Client, event: TokenEvent) -> Client:
    """Which tokens there are, and which of them are refused."""
    match event:
        case ClientTokenIssued():
            return Client(state.issued | {event.key_id}, state.revoked, state.rotated)
        case ClientTokenRotated():
            return Client(state.issued, state.revoked, state.rotated | {event.key_id})
        case ClientTokenRevoked():
            return Client(state.issued, state.revoked | {event.key_id}, state.rotated)
        case _:
            assert_never(event)


def unknown(key_id: str) -> Problem:
    """No token of this organisation has the key id."""
    return Problem("token.unknown", f"there is no token {key_id[:80]!r} in this organisation")


def is_live(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> bool:
    """Whether a token is accepted at `now`; from the instant of its expiry on it is not."""
    return revoked_at is None and (expires_at is None or now < expires_at)


CLIENT = Decider[Order, Client, TokenEvent](Client(), decide, evolve)
