"""Given, when, then for deciders: `given(PLAYBOOK, *events).when(command).then(*events)`."""

from __future__ import annotations

from typing import Any

from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider


class Scenario:
    """One decision of one aggregate."""

    def __init__(self, decider: Decider[Any, Any, Any], events: tuple[Any, ...]) -> None:
        self._decider = decider
        self._state = decider.fold(events)
        self._outcome: list[Any] | Problem = []

    def when(self, command: Any) -> Scenario:
        try:
            self._outcome = list(self._decider.decide(command, self._state))
        except Problem as problem:
            self._outcome = problem
        return self

    def then(self, *events: Any) -> None:
        assert self._outcome == list(events)

    def then_nothing(self) -> None:
        assert self._outcome == []

    def then_refused(self, code: str) -> None:
        assert isinstance(self._outcome, Problem), f"not refused: {self._outcome}"
        assert self._outcome.code == code


def given(decider: Decider[Any, Any, Any], *events: Any) -> Scenario:
    return Scenario(decider, events)
