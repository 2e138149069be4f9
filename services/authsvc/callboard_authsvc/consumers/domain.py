"""One consumer name of an organisation: admitted, perhaps dismissed, perhaps admitted again with a new account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from callboard.contracts import subjects
from callboard.contracts.access_events import ConsumerAdmitted, ConsumerDismissed
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider
from callboard.kernel.names import is_slug


class Admit(msgspec.Struct, frozen=True, kw_only=True):
    """Let in who is of this account: every admission has its own, known by its public key."""

    consumer: str
    public_key: str


class Dismiss(msgspec.Struct, frozen=True, kw_only=True):
    """Refuse the account that is let in now."""

    consumer: str


class Durable(msgspec.Struct, frozen=True, kw_only=True):
    """A durable pull consumer of JetStream. `from_start`: it gets what was there before it, too."""

    stream: str
    name: str
    subject: str
    from_start: bool


Order = Admit | Dismiss
ConsumerEvent = ConsumerAdmitted | ConsumerDismissed


class Consumer(msgspec.Struct, frozen=True):
    """The account that is let in; empty: none."""

    public_key: str = ""


def stream_of(consumer: str) -> str:
    """The stream of a consumer, in its organisation's log."""
    return f"consumer-{consumer}"


def check(consumer: str) -> None:
    """Raise `argument.invalid` for a name that cannot be a token of a subject."""
    if not is_slug(consumer):
        raise Problem(
            "argument.invalid",
            "consumer: use 1 to 63 of a-z, 0-9, _ and -, with a letter or digit at both ends",
            argument="consumer",
        )


def decide(order: Order, state: Consumer) -> Sequence[ConsumerEvent]:
    """One account at a time."""
    match order:
        case Admit():
            check(order.consumer)
            if state.public_key:
                raise exists(order.consumer)
            return (ConsumerAdmitted(consumer=order.consumer, public_key=order.public_key),)
        case Dismiss():
            if not state.public_key:
                raise unknown(order.consumer)
            return (ConsumerDismissed(consumer=order.consumer, public_key=state.public_key),)
        case _:
            assert_never(order)


def evolve(state: Consumer, event: ConsumerEvent) -> Consumer:
    """Which account is let in."""
    match event:
        case ConsumerAdmitted():
            return Consumer(event.public_key)
        case ConsumerDismissed():
            return Consumer()
        case _:
            assert_never(event)


def exists(consumer: str) -> Problem:
    """The name is taken."""
    return Problem("consumer.exists", f"consumer {consumer} is admitted already")


def unknown(consumer: str) -> Problem:
    """Nobody of this name is let in."""
    return Problem("consumer.unknown", f"there is no consumer {consumer[:80]!r} in this organisation")


def durables_of(organisation: str, consumer: str) -> tuple[Durable, ...]:
    """What a consumer reads: all events there ever were, and call records from now on.

    The capitals in the name cannot stand in either slug. With a dash alone, consumer `b-c` of organisation `a`
    and consumer `c` of organisation `a-b` would read from one durable, and so could `projections-…` of the rooms.
    """
    name = f"{organisation}-FOR-{consumer}"
    return (
        Durable(
            stream=subjects.STREAM_EVENTS, name=name, subject=f"{subjects.EVENT}.{organisation}.>", from_start=True
        ),
        Durable(
            stream=subjects.STREAM_CALLS, name=name, subject=f"{subjects.RECORD}.{organisation}.>", from_start=False
        ),
    )


CONSUMER = Decider[Order, Consumer, ConsumerEvent](Consumer(), decide, evolve)
