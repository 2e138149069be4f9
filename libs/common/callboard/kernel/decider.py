"""The shape of every aggregate: decide what happens, then evolve the state by what happened.

`decide` returns events, or raises `Problem`; no event means that there was nothing to do.
`evolve` never raises for an event of its aggregate: it already happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import msgspec

Command = TypeVar("Command")
State = TypeVar("State")
Event = TypeVar("Event")


class Decider(msgspec.Struct, Generic[Command, State, Event], frozen=True):
    """An aggregate as three pure functions."""

    initial: State
    decide: Callable[[Command, State], Sequence[Event]]
    evolve: Callable[[State, Event], State]

    def fold(self, events: Iterable[Event], state: State | None = None) -> State:
        """The state after these events."""
        current = self.initial if state is None else state
        for event in events:
            current = self.evolve(current, event)
        return current
