"""One webhook: registered, perhaps paused or disabled, at last deleted; and how sending judges an answer. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import assert_never
from urllib.parse import urlsplit

import msgspec

from callboard.contracts.problems import Problem
from callboard.contracts.webhook_events import (
    WebhookDeleted,
    WebhookDisabled,
    WebhookEvent,
    WebhookPaused,
    WebhookRegistered,
    WebhookReplayOrdered,
    WebhookResumed,
    WebhookSecretRotated,
)
from callboard.contracts.webhooks import LAST_EVENT, State
from callboard.kernel.decider import Decider
from callboard.kernel.names import first_match, is_slug

KEY_BYTES = 32
MAX_OVERLAP = 30 * 86_400
LONGEST_PAUSE = 3600.0
_KIND = re.compile(r"[a-z0-9_.*?\[\]-]{1,100}")
_URL = re.compile(r"[!-~]{1,2000}")


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """Send these kinds to this URL."""

    webhook: str
    url: str
    kinds: tuple[str, ...]


class Rotate(msgspec.Struct, frozen=True, kw_only=True):
    """Sign with another secret."""

    webhook: str


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """Pause or resume."""

    webhook: str
    on: bool


class Disable(msgspec.Struct, frozen=True, kw_only=True):
    """Give up at an event."""

    webhook: str
    seq: int
    reason: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Send a range again."""

    webhook: str
    first: int
    last: int


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """Send nothing any more."""

    webhook: str


Order = Register | Rotate | Switch | Disable | Replay | Delete


class Webhook(msgspec.Struct, frozen=True):
    """What it does; nothing: there is none of this name."""

    state: State | None = None


def stream_of(webhook: str) -> str:
    """The stream of a webhook, in its organisation's log."""
    return f"webhook-{webhook}"


def secret_of(webhook: str) -> str:
    """The name of its secret in the vault; no user can name a secret so."""
    return f"webhook:{webhook}"


def new_secret(chance: bytes) -> str:
    """A secret as Standard Webhooks writes it, of `KEY_BYTES` random bytes."""
    return f"whsec_{base64.b64encode(chance).decode()}"


def message_id(organisation: str, seq: int) -> str:
    """The `webhook-id` of an event: the same at every attempt and replay, so that receivers can drop repeats."""
    return f"{organisation}:{seq}"


def wanted(kinds: Sequence[str], kind: str) -> bool:
    """Whether events of this type are sent."""
    return first_match(kinds, kind) is not None


def check(order: Register) -> None:
    """Raise `argument.invalid` unless name, URL and kinds can be what they are for."""
    if not is_slug(order.webhook):
        text = "use 1 to 63 of a-z, 0-9, _ and -, with a letter or digit at both ends"
        raise Problem("argument.invalid", f"webhook: {text}", argument="webhook")
    if not _is_url(order.url):
        text = "use an https URL of at most 2000 characters, without a name, password or fragment in it"
        raise Problem("argument.invalid", f"url: {text}", argument="url")
    if not 0 < len(order.kinds) <= 50 or not all(_KIND.fullmatch(kind) for kind in order.kinds):
        raise Problem("argument.invalid", "kinds: use 1 to 50 globs like `playbook.*`", argument="kinds")


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = parts.username is None and parts.password is None and not parts.fragment
    return bool(_URL.fullmatch(url)) and parts.scheme in ("https", "http") and bool(parts.hostname) and plain


def decide(order: Order, state: Webhook) -> Sequence[WebhookEvent]:
    """What an order does to the webhook."""
    if isinstance(order, Register):
        check(order)
        if state.state is not None:
            raise Problem("webhook.exists", f"webhook {order.webhook} is registered already")
        return (WebhookRegistered(webhook=order.webhook, url=order.url, kinds=order.kinds),)
    if state.state is None:
        raise unknown(order.webhook)
    match order:
        case Rotate():
            return (WebhookSecretRotated(webhook=order.webhook),)
        case Switch():
            return _switch(order, state.state)
        case Disable():
            done = state.state != "on"
            return () if done else (WebhookDisabled(webhook=order.webhook, seq=order.seq, reason=order.reason),)
        case Replay():
            if not 0 < order.first <= order.last <= LAST_EVENT:
                raise Problem("argument.invalid", "first and last: use numbers of events, in order", argument="first")
            return (WebhookReplayOrdered(webhook=order.webhook, first=order.first, last=order.last),)
        case Delete():
            return (WebhookDeleted(webhook=order.webhook),)
        case _:
            assert_never(order)


def _switch(order: Switch, state: State) -> Sequence[WebhookEvent]:
    if order.on == (state == "on"):
        return ()
    if not order.on and state == "disabled":
        return ()
    return (WebhookResumed(webhook=order.webhook) if order.on else WebhookPaused(webhook=order.webhook),)


def evolve(state: Webhook, event: WebhookEvent) -> Webhook:
    """Whether it sends."""
    match event:
        case WebhookRegistered() | WebhookResumed():
            return Webhook("on")
        case WebhookPaused():
            return Webhook("paused")
        case WebhookDisabled():
            return Webhook("disabled")
        case WebhookDeleted():
            return Webhook()
        case WebhookSecretRotated() | WebhookReplayOrdered():
            return state
        case _:
            assert_never(event)


def unknown(webhook: str) -> Problem:
    """No webhook of this organisation is called so."""
    return Problem("webhook.unknown", f"there is no webhook {webhook[:80]!r} in this organisation")


def fault_of(status: int) -> str:
    """Why an answer does not count as taken; empty: it does."""
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"answered {status}, and redirects are not followed"
    return f"answered {status}"


def pause_before(attempt: int, base: float, asked: str, chance: float) -> float:
    """Seconds until the next attempt after this many failed: doubling, at most an hour, up to a fifth more by chance.

    `asked`: the receiver's `Retry-After` in seconds, taken when it is longer. `chance`: 0 to 1.
    """
    wished = float(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 6 else 0.0
    pause: float = min(base * 2.0 ** min(attempt - 1, 20), LONGEST_PAUSE)
    return min(max(pause * (1 + chance / 5), wished), LONGEST_PAUSE)


WEBHOOK = Decider[Order, Webhook, WebhookEvent](Webhook(), decide, evolve)
