"""What `policy explain` and `policy test` say is what becomes of the call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from callboard.contracts.policies import AskPolicyExplanation, Attempt, PolicyExplanation
from callboard.contracts.policy_definitions import LimitRule, PolicyDefinition
from callboard_router.policies.explain import ExplainPolicies
from tests.router.test_policy_views import World


async def explained(world: World, **attempt: Any) -> PolicyExplanation:
    async def current(organisation: str) -> Any:
        return world.state.organisation(organisation)

    explaining = ExplainPolicies(cast("Any", SimpleNamespace(current=current)), world.served)
    asked = Attempt(**{"playbook": "one", "client": "bot", **attempt})
    return await explaining.explain(AskPolicyExplanation(organisation="acme", attempt=asked))


async def test_of_limits_those_are_told_that_count_the_call_with_their_tools() -> None:
    limits = (LimitRule(calls=5, every="day", tools=("*/log",)), LimitRule(calls=9, every="hour"))
    world = World(("slow", PolicyDefinition(limits=limits)))
    one, other = "policy slow: 5 calls of */log each day for each key", "policy slow: 9 calls each hour for each key"
    assert (await explained(world, name="log")).limits == (one, other)
    assert (await explained(world, name="reset")).limits == (other,)
    assert (await explained(world, name="sum", kind="prompt")).limits == (other,)
