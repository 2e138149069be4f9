"""What `policy explain` and `policy test` say is what becomes of the call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from callboard.contracts.definitions import (
    PlaybookContent,
    PlaybookDefinition,
    PlaybookServer,
    ToolOverride,
    ToolRules,
)
from callboard.contracts.events import PlaybookPublished
from callboard.contracts.policies import AskPolicyExplanation, Attempt, PolicyExplanation
from callboard.contracts.policy_definitions import ArgumentRule, LimitRule, PolicyCallers, PolicyDefinition, Rights
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


async def test_arguments_are_judged_as_the_server_gets_them_with_defaults_and_pins() -> None:
    rule = ArgumentRule(argument="n", required=True, values=(1, 2))
    world = World(("args", PolicyDefinition(arguments=(rule,))))

    def published(version: int, override: ToolOverride) -> None:
        servers = {"git": PlaybookServer(names="bare", tools=ToolRules(override={"log": override}))}
        content = PlaybookContent(definition=PlaybookDefinition(servers=servers))
        event = PlaybookPublished(playbook="one", version=version, content=content, content_digest=str(version))
        world.happens(event)

    assert not (await explained(world, name="log", arguments={})).allowed
    published(2, ToolOverride(defaults={"n": 1}))
    assert (await explained(world, name="log", arguments={})).allowed
    assert not (await explained(world, name="log", arguments={"n": 3})).allowed
    assert not (await explained(world, name="reset", arguments={})).allowed, "nothing is added there"
    published(3, ToolOverride(pins={"n": 2}))
    assert (await explained(world, name="log", arguments={"n": 3})).allowed, "a pin is stronger"


async def test_an_oauth_client_is_concerned_by_its_id() -> None:
    world = World(("apps", PolicyDefinition(callers=PolicyCallers(clients=("app-1",)), tools=Rights())))
    assert (await explained(world, name="log", client="m1")).allowed
    assert not (await explained(world, name="log", client="m1", oauth_client="app-1")).allowed
