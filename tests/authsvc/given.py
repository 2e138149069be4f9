"""Given these events, when this is ordered, then that happens: the form of the deciders' tests."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider


class Given:
    """`Given(decider, *events).when(order).then(*events)`."""

    def __init__(self, decider: Decider[Any, Any, Any], *events: Any) -> None:
        self._decider = decider
        self._state = decider.fold(events)
        self._order: Any = None

    def when(self, order: Any) -> Given:
        self._order = order
        return self

    def then(self, *events: Any) -> None:
        assert tuple(self._decider.decide(self._order, self._state)) == events

    def then_nothing(self) -> None:
        self.then()

    def then_refused(self, code: str) -> Problem:
        with pytest.raises(Problem) as refusal:
            self._decider.decide(self._order, self._state)
        assert refusal.value.code == code
        return refusal.value
