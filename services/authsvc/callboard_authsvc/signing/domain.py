"""When a signing key is published, signs, and goes; decided on the installation's log, so that all instances agree.

published ──(OVERLAP: everybody has read the set)──> signs ──(the next one signs)──> only verifies ──(KEPT)──> removed
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, assert_never

import msgspec

from callboard.contracts.layers import SYSTEM
from callboard.contracts.signing_events import SigningKeyPublished, SigningKeyRemoved
from callboard.kernel.access_tokens import LEEWAY_SECONDS, LONGEST_SECONDS
from callboard.kernel.decider import Decider

STREAM: Final = "signing-keys"
ROTATE_EVERY: Final = timedelta(days=90)
"""How long one key signs."""
OVERLAP: Final = timedelta(hours=24)
"""How long a key is published before it signs."""
CACHE_SECONDS: Final = 300
"""How long anybody may keep the public set."""
KEPT: Final = timedelta(seconds=LONGEST_SECONDS + CACHE_SECONDS + LEEWAY_SECONDS)
"""How long a key stays in the set after it signed for the last time."""


class Fresh(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was made and is nobody's yet."""

    kid: str
    thumbprint: str


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """Do what is due: the first key, the next one in time, the end of old ones."""

    at: datetime
    fresh: Fresh


class Rotate(msgspec.Struct, frozen=True, kw_only=True):
    """Publish the next key now, unless one waits already; `at_once`: it signs now, and all others go."""

    at: datetime
    fresh: Fresh
    at_once: bool = False


class KeepSigningKeys(msgspec.Struct, frozen=True, kw_only=True, tag="signing_keys.keep", tag_field="type"):
    """What upkeep asks of itself, in the form of a command."""

    command_id: str
    organisation: str = SYSTEM
    actor: str = "upkeep"


class Key(msgspec.Struct, frozen=True):
    """A key in the public set."""

    kid: str
    signs_from: datetime


Order = Keep | Rotate
KeyEvent = SigningKeyPublished | SigningKeyRemoved
Keys = tuple[Key, ...]
"""The public set, in the order in which the keys sign."""


def signing_at(keys: Sequence[Key], now: datetime) -> Key | None:
    """The key that signs now."""
    begun = [key for key in keys if key.signs_from <= now]
    return max(begun, key=lambda key: key.signs_from, default=None)


def waiting_at(keys: Sequence[Key], now: datetime) -> bool:
    """Whether a key is published that does not sign yet."""
    return any(key.signs_from > now for key in keys)


def over_at(keys: Sequence[Key], now: datetime) -> Keys:
    """Those that signed nothing that could still be in use."""
    ordered = sorted(keys, key=lambda key: key.signs_from)
    return tuple(key for key, after in pairwise(ordered) if after.signs_from + KEPT <= now)


def decide(order: Order, state: Keys) -> Sequence[KeyEvent]:
    """What happens to the set."""
    match order:
        case Keep():
            return _kept(order, state)
        case Rotate(at_once=True):
            gone = tuple(SigningKeyRemoved(kid=key.kid) for key in state)
            return (*gone, _published(order.fresh, order.at))
        case Rotate():
            return () if waiting_at(state, order.at) else (_published(order.fresh, order.at + OVERLAP),)
        case _:
            assert_never(order)


def _kept(order: Keep, state: Keys) -> Sequence[KeyEvent]:
    events: list[KeyEvent] = [SigningKeyRemoved(kid=key.kid) for key in over_at(state, order.at)]
    signing = signing_at(state, order.at)
    if signing is None and not waiting_at(state, order.at):
        events.append(_published(order.fresh, order.at))
    elif signing is not None and not waiting_at(state, order.at):
        due = signing.signs_from + ROTATE_EVERY
        if due - OVERLAP <= order.at:
            events.append(_published(order.fresh, max(due, order.at + OVERLAP)))
    return events


def _published(fresh: Fresh, signs_from: datetime) -> SigningKeyPublished:
    return SigningKeyPublished(kid=fresh.kid, thumbprint=fresh.thumbprint, signs_from=signs_from)


def evolve(state: Keys, event: KeyEvent) -> Keys:
    """The set after it."""
    match event:
        case SigningKeyPublished():
            return (*state, Key(event.kid, event.signs_from))
        case SigningKeyRemoved():
            return tuple(key for key in state if key.kid != event.kid)
        case _:
            assert_never(event)


SIGNING_KEYS = Decider[Order, Keys, KeyEvent]((), decide, evolve)
