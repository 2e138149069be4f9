"""A person of an organisation, as far as the log knows: erased, or not yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from callboard.contracts.events import PersonErased
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider


class Erase(msgspec.Struct, frozen=True, kw_only=True):
    """Forget who this was."""

    person: str
    comment: str


class Person(msgspec.Struct, frozen=True):
    """Whether the key is gone."""

    erased: bool = False


def stream_of(person: str) -> str:
    """The stream of a person, in its organisation's log."""
    return f"person-{person}"


def check(comment: str) -> None:
    """It takes a reason."""
    if not comment.strip():
        raise Problem("comment.required", "say why this person is erased; do not name them")


def decide(order: Erase, state: Person) -> Sequence[PersonErased]:
    """What was destroyed cannot be destroyed again; it takes a reason."""
    check(order.comment)
    return () if state.erased else (PersonErased(person=order.person),)


def evolve(state: Person, event: PersonErased) -> Person:
    """Erasing is final."""
    match event:
        case PersonErased():
            return Person(erased=True)
        case _:
            assert_never(event)


def unknown(person: str) -> Problem:
    """No person of this organisation has the id or the name."""
    return Problem("person.unknown", f"there is no person {person[:80]!r} in this organisation")


PERSON = Decider[Erase, Person, PersonErased](Person(), decide, evolve)
