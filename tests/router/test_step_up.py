"""Tools that want more than ordinary use: who may call them, who is sent for more, and who is told whom to ask."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callboard.contracts.calls import MODERN, RpcHead
from callboard.contracts.policies import Attempt, SetPolicy
from callboard.contracts.policy_definitions import PolicyCallers, PolicyDefinition, StepUpRule
from callboard.contracts.problems import Problem
from callboard_router.calls.resolve import Answer, Target, resolve
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.policies.domain import POLICY
from callboard_router.policies.explain import _try
from callboard_router.policies.policing import PolicyBook
from callboard_router.policies.step_up import Demand
from tests.router.test_policy_views import World
from tests.support.gwt import given

USE, READ, OPERATE, MANAGE = "mcp:use", "mcp:read", "mcp:operate", "mcp:manage"


def wanting(scope: Any, *tools: str, **more: Any) -> PolicyDefinition:
    return PolicyDefinition(step_up=(StepUpRule(tools=tools, scope=scope),), **more)


CAREFUL = wanting(OPERATE, "git/reset", "files/*")


def called(world: World, scopes: tuple[str, str], tool: str = "reset", **more: Any) -> tuple[str, str]:
    """What becomes of a call: `sent`, `tool error` and its text, or the problem's code and the scopes to ask for."""
    head = RpcHead("id", "tools/call", MODERN, "ann", "k", 0, 0, scopes=scopes, **more)
    found = world.served.find("acme", "one", head)
    try:
        outcome = resolve(head, msgspec.json.encode({"name": tool, "arguments": {}}), found)
    except Problem as problem:
        return problem.code, str(problem.data.get("scope", ""))
    if isinstance(outcome, Target):
        return "sent", ""
    assert outcome.refused == "policy.denied"
    return "tool error", msgspec.json.decode(outcome.result)["content"][0]["text"]


@pytest.mark.parametrize("wanted", [READ, OPERATE, MANAGE])
@pytest.mark.parametrize("held", ["", USE, READ, OPERATE, MANAGE])
@pytest.mark.parametrize("reach", ["", USE, READ, OPERATE, MANAGE])
def test_a_higher_scope_holds_the_lower_ones_and_nobody_is_sent_for_what_is_out_of_reach(
    wanted: str, held: str, reach: str
) -> None:
    order = ["", USE, READ, OPERATE, MANAGE]
    world = World(("careful", wanting(wanted, "git/reset")))
    became, said = called(world, (held, reach))
    if order.index(held) >= order.index(wanted):
        assert became == "sent"
    elif order.index(reach) >= order.index(wanted):
        assert (became, said) == ("auth.scope_insufficient", f"mcp:use {wanted}")
    else:
        assert became == "tool error"
        assert f"policy careful wants {wanted}" in said
        assert "Ask whoever manages the members" in said


def test_who_has_no_token_is_asked_for_one_with_all_that_the_call_needs() -> None:
    world = World(("careful", CAREFUL))
    whole = world.served.whole("acme", "one")
    open_to_all = msgspec.structs.replace(whole.definition, access="anonymous")
    head = RpcHead("id", "tools/call", MODERN, "anonymous", "anonymous", 0, 0, anonymous=True, scopes=(USE, USE))
    view = world.served.find("acme", "one", head)
    vars(view)["definition"] = open_to_all
    with pytest.raises(Problem) as refusal:
        resolve(head, b'{"name":"reset","arguments":{}}', view)
    assert (refusal.value.code, refusal.value.data["scope"]) == ("auth.required", "mcp:use mcp:operate")


def test_the_tool_stays_in_the_list_and_others_are_called_with_ordinary_use() -> None:
    world = World(("careful", CAREFUL))
    assert set(world.listed("tools")) == {"log", "reset", "odd"}
    assert called(world, (USE, USE), "log") == ("sent", "")
    tools = world.served.find("acme", "one", RpcHead("id", "tools/list", MODERN, "ann", "k", 0, 0)).tools
    assert [name for name, route in tools.items() if route.demand is not None] == ["reset"]
    assert all(route.demand is None for route in world.served.whole("acme", "one").tools.values())


def test_of_several_policies_the_highest_scope_counts_and_only_for_those_it_is_about() -> None:
    bots = PolicyCallers(clients=("bot-*",))
    world = World(("a", CAREFUL), ("b", wanting(MANAGE, "*", callers=bots)), ("c", wanting(READ, "git/*")))
    assert called(world, (USE, MANAGE)) == ("auth.scope_insufficient", "mcp:use mcp:operate")
    assert called(world, (OPERATE, OPERATE)) == ("sent", "")
    assert called(world, (USE, MANAGE), "log") == ("auth.scope_insufficient", "mcp:use mcp:read")
    found = world.served.find("acme", "one", RpcHead("id", "tools/call", MODERN, "bot-1", "k", 0, 0))
    demand = found.tools["log"].demand
    assert isinstance(demand, Demand)
    assert (demand.policy, demand.scope) == ("b", MANAGE)


def test_a_playbook_without_such_a_rule_does_not_look_at_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Demand, "refusal")
    assert called(World(("p", PolicyDefinition(read_only=True))), ("", ""), "log") == ("sent", "")
    with pytest.raises(AttributeError):
        called(World(("careful", CAREFUL)), ("", ""))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"tools": (), "scope": OPERATE}, "step_up[0].tools: names no tool"),
        ({"tools": ("s/" + "x" * 2000,), "scope": OPERATE}, "over 1000 characters"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_with_its_place(rule: dict[str, Any], says: str) -> None:
    wrong = PolicyDefinition(step_up=(StepUpRule(**rule),))
    command = SetPolicy(command_id="1", organisation="acme", policy="p", definition=wrong, comment="why")
    given(POLICY).when(command).then_refused("policy.invalid")
    with pytest.raises(Problem) as refusal:
        POLICY.decide(command, POLICY.initial)
    assert says in str(refusal.value)


@pytest.mark.parametrize("scope", ["mcp:use", "operate", "mcp:everything", "", 3])
def test_only_scopes_beyond_ordinary_use_are_known(scope: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match="scope"):
        msgspec.convert({"step_up": [{"tools": ["git/*"], "scope": scope}]}, PolicyDefinition)


def test_an_explanation_says_which_scope_a_tool_wants_and_that_this_alone_denies_nothing() -> None:
    world = World()
    whole: CompiledPlaybook = world.served.whole("acme", "one")
    book = PolicyBook("acme", {"careful": CAREFUL})
    tried = _try(Attempt(playbook="one", name="reset", client="ann"), whole, book)
    assert tried.denial is None
    assert tried.verdicts[-1].rule == "step_up: with the scope mcp:operate alone"
    other = _try(Attempt(playbook="one", name="log", client="ann"), whole, book)
    assert not any("step_up" in verdict.rule for verdict in other.verdicts)


def test_an_answer_is_never_prepared_for_a_tool_that_wants_more() -> None:
    """Whoever may not call it learns nothing of its arguments either."""
    world = World(("careful", CAREFUL))
    head = RpcHead("id", "tools/call", MODERN, "ann", "k", 0, 0, scopes=(USE, USE))
    wrong = resolve(head, b'{"name":"reset","arguments":{"n":"x"}}', world.served.find("acme", "one", head))
    assert isinstance(wrong, Answer)
    assert b"Not allowed here" in wrong.result
