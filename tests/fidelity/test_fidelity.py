"""What an upstream says through Callboard equals what it says directly, for whatever it says, in every era.

Over 2,000 examples; each goes over every route of its upstream. A longer run: `make soak`.
"""

from __future__ import annotations

import pytest

from tests.fidelity import properties
from tests.fidelity.checks import check_together
from tests.fidelity.rig import Rig

pytestmark = [pytest.mark.xdist_group("fidelity"), pytest.mark.timeout(300)]
ANSWERS, REQUESTS, DEFINITIONS = 1200, 500, 400


def test_at_least_two_thousand_examples_are_planned() -> None:
    assert ANSWERS + REQUESTS + DEFINITIONS >= 2000


def test_every_answer_reaches_every_client_as_it_was_said(rig: Rig, number: int) -> None:
    properties.answers(rig, ANSWERS, number)
    assert rig.counted["answers"] >= ANSWERS


def test_every_request_reaches_every_upstream_as_it_was_asked(rig: Rig, number: int) -> None:
    properties.asked(rig, REQUESTS, number)
    assert rig.counted["requests"] >= REQUESTS


def test_calls_at_the_same_time_hear_what_is_theirs_though_their_tokens_are_the_same(rig: Rig) -> None:
    for leg in rig.legs:
        rig.runner.run(check_together(leg, 12))


def test_every_definition_is_listed_as_it_was_published(rig: Rig, number: int) -> None:
    properties.defined(rig, DEFINITIONS // 2, number)
    properties.defined(rig, DEFINITIONS // 2, number + 1)
    assert rig.counted["definitions"] >= DEFINITIONS
