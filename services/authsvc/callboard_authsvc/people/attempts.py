"""Limits on guessing: per account, and per address that guesses at many accounts; exact over all instances."""

from __future__ import annotations

from callboard.contracts.problems import Problem
from callboard_authsvc.people.dependencies import PeopleDependencies
from callboard_authsvc.people.domain import (
    ATTEMPT_WINDOW,
    ATTEMPTS_PER_ACCOUNT,
    ATTEMPTS_PER_ADDRESS,
    seconds_to_wait,
)


async def note_attempt(email: str, address: str, use: PeopleDependencies) -> None:
    """Count this attempt before the password is looked at; raises `login.too_many`. An empty text is not counted."""
    limits = [
        (_subject("account", email, use), ATTEMPTS_PER_ACCOUNT if email else 0),
        (_subject("address", address, use), ATTEMPTS_PER_ADDRESS if address else 0),
    ]
    now = use.clock()
    first = await use.attempts.take([limit for limit in limits if limit[1]], now - ATTEMPT_WINDOW, now)
    if first is not None:
        wait = seconds_to_wait(first, now)
        raise Problem("login.too_many", f"there were too many attempts; wait {wait} s", retry_after=wait)


async def forgive(email: str, use: PeopleDependencies) -> None:
    """The right password came: the attempts on this account are forgotten, those of the address are not."""
    await use.attempts.forgive(_subject("account", email, use))


def _subject(kind: str, value: str, use: PeopleDependencies) -> bytes:
    return use.verifier.of(f"{kind}:{value}")
