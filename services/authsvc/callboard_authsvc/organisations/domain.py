"""An organisation begins once and does not end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from callboard.contracts.events import OrganisationCreated
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider
from callboard.kernel.names import is_slug

MAX_TITLE = 200


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Begin an organisation."""

    organisation: str
    title: str = ""


class Organisation(msgspec.Struct, frozen=True):
    """Whether it has begun."""

    exists: bool = False


def stream_of(organisation: str) -> str:
    """The stream of an organisation, in its own log."""
    return f"organisation-{organisation}"


def check(order: Create) -> None:
    """Raise `argument.invalid` for a name that cannot be a token of a subject, or an endless title."""
    if not is_slug(order.organisation):
        raise Problem(
            "argument.invalid",
            "organisation: use 1 to 63 of a-z, 0-9, _ and -, with a letter or digit at both ends",
            argument="organisation",
        )
    if len(order.title) > MAX_TITLE or not order.title.isprintable():
        raise Problem("argument.invalid", f"title: use at most {MAX_TITLE} printable characters", argument="title")


def decide(order: Create, state: Organisation) -> Sequence[OrganisationCreated]:
    """Creating one that exists changes nothing."""
    check(order)
    if state.exists:
        return ()
    return (OrganisationCreated(organisation=order.organisation, title=order.title),)


def evolve(state: Organisation, event: OrganisationCreated) -> Organisation:
    """It exists from its first event on."""
    match event:
        case OrganisationCreated():
            return Organisation(exists=True)
        case _:
            assert_never(event)


ORGANISATION = Decider[Create, Organisation, OrganisationCreated](Organisation(), decide, evolve)
