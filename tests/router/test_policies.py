"""The decision of policies: default deny, deny wins, one more policy never allows more; arguments and times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as each
from hypothesis import strategies as st

from callboard.contracts.policies import RemovePolicy, SetPolicy, SwitchServer
from callboard.contracts.policy_definitions import (
    DAYS,
    ArgumentRule,
    LimitRule,
    PolicyCallers,
    PolicyDefinition,
    Rights,
    Window,
)
from callboard.contracts.policy_events import PolicyRemoved, PolicySet, ServerSwitched
from callboard.contracts.problems import Problem
from callboard.kernel.personal import join, person_id
from callboard_router.policies.arguments import CompiledArgumentRule
from callboard_router.policies.domain import POLICY, switch
from callboard_router.policies.rights import Caller, CompiledPolicy, Denied, Thing, decide
from callboard_router.policies.windows import next_change, open_at
from tests.support.gwt import given

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # a Friday
ALL = Rights(allow=("*",))
READ, WRITE = Thing("tool", "git", "log", read_only=True), Thing("tool", "git", "reset")
PROMPT, RESOURCE = Thing("prompt", "git", "sum"), Thing("resource", "git", "git://head")
EVERYTHING = (READ, WRITE, PROMPT, RESOURCE)


def allowed(*definitions: PolicyDefinition, off: frozenset[str] = frozenset(), at: datetime = NOW) -> set[Thing]:
    policies = [CompiledPolicy(f"p{number}", one) for number, one in enumerate(definitions)]
    return {thing for thing in EVERYTHING if decide(policies, off, thing, at) is None}


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (PolicyDefinition(), {*EVERYTHING}),
        (PolicyDefinition(tools=Rights()), set()),
        (PolicyDefinition(tools=ALL), {READ, WRITE}),
        (PolicyDefinition(tools=Rights(allow=("git/l*",))), {READ}),
        (PolicyDefinition(tools=Rights(allow=("*",), deny=("*/reset",)), prompts=ALL), {READ, PROMPT}),
        (PolicyDefinition(tools=Rights(allow=("git/log",), deny=("git/log",))), set()),
        (PolicyDefinition(tools=Rights(allow=("log",))), set()),
        (PolicyDefinition(prompts=ALL, resources=Rights(allow=("git/git://*",))), {PROMPT, RESOURCE}),
        (PolicyDefinition(read_only=True), {READ, PROMPT, RESOURCE}),
        (PolicyDefinition(read_only=True, tools=ALL), {READ}),
        (PolicyDefinition(when=(Window(days=("fri",)),)), {*EVERYTHING}),
        (PolicyDefinition(when=(Window(days=("sat",)),)), set()),
    ],
)
def test_what_no_rule_allows_is_denied_and_deny_wins(definition: PolicyDefinition, expected: set[Thing]) -> None:
    assert allowed(definition) == expected


@pytest.mark.parametrize(
    ("uri", "deny", "allow"),
    [
        ("note://s%65cret/a", "notes/note://secret/*", "*"),
        ("note://s%2565cret/a", "notes/note://secret/*", "*"),
        ("note://public%2Fsecret/a", "*/secret/*", "*"),
        ("NOTE://secret/a", "notes/note://secret/*", "*"),
        ("note://SECRET/a", "notes/note://Secret/*", "*"),
        ("note://SECRET/a", "*Secret/a", "*"),
        ("note://public/%73ecret", "", "notes/note://public/[!s]*"),
        ("note://Secret/a", "", "notes/note://[!s]*"),
    ],
)
def test_a_resource_is_judged_by_every_spelling_of_its_uri(uri: str, deny: str, allow: str) -> None:
    policy = CompiledPolicy("p", PolicyDefinition(resources=Rights(allow=(allow,), deny=(deny,))))
    assert policy.denial(Thing("resource", "notes", uri), NOW) is not None
    for open_one in ("note://public/a%20b", "note://public/Quite", "note://public/100%"):
        assert policy.denial(Thing("resource", "notes", open_one), NOW) is None


def test_a_glob_in_the_case_of_the_uri_allows_it_and_so_does_one_in_another_case_of_the_path_not() -> None:
    policy = CompiledPolicy("p", PolicyDefinition(resources=Rights(allow=("notes/Note://Public/A*",))))
    assert policy.denial(Thing("resource", "notes", "Note://Public/Ab"), NOW) is None
    assert policy.denial(Thing("resource", "notes", "Note://Public/ab"), NOW) is not None


def test_a_server_that_is_switched_off_is_there_for_nobody_whatever_policies_allow() -> None:
    assert allowed(PolicyDefinition(tools=ALL), off=frozenset({"git"})) == set()
    assert allowed(off=frozenset({"time"})) == {*EVERYTHING}


def test_a_policy_concerns_whoever_it_names_in_any_way_and_without_names_everybody() -> None:
    named = PolicyCallers(clients=("bot-*",), keys=("k1",), members=("ann",))
    policy = CompiledPolicy("p", PolicyDefinition(callers=named, playbooks=("ops-*",)))
    for caller in (Caller("bot-1", "", ""), Caller("x", "k1", ""), Caller("x", "k2", "ann")):
        assert policy.concerns(caller)
    assert policy.concerns(Caller("person", "", "", "bot-of-oauth"))
    assert not policy.concerns(Caller("robot-1", "k2", "bob", "other"))
    assert not CompiledPolicy("p", PolicyDefinition(callers=PolicyCallers(keys=("",)))).concerns(Caller("", "", ""))
    assert CompiledPolicy("p", PolicyDefinition()).concerns(Caller("anonymous", "", ""))
    assert policy.holds_for("ops-eu")
    assert not policy.holds_for("start")


def test_a_person_is_named_by_the_whole_sealed_name_or_by_everything_and_by_no_other_glob() -> None:
    jane = join(person_id(bytes(10)), bytes(16))
    for clients, concerned in (((jane,), True), (("*",), True), (("p_*",), False), (("*a*",), False), (("",), False)):
        policy = CompiledPolicy("p", PolicyDefinition(callers=PolicyCallers(clients=clients)))
        assert policy.concerns(Caller(jane, "k", "")) is concerned, clients


GLOBS = st.lists(st.sampled_from(("*", "git/*", "*/log", "*/reset", "git/git://*", "x/*", "g?t/s[u]m")), max_size=3)
RIGHTS = st.none() | st.builds(Rights, allow=GLOBS.map(tuple), deny=GLOBS.map(tuple))
WINDOWS = st.lists(
    st.builds(Window, days=st.lists(st.sampled_from(DAYS), min_size=1).map(tuple), start=st.just("09:00")), max_size=2
)
POLICIES = st.builds(
    PolicyDefinition,
    tools=RIGHTS,
    prompts=RIGHTS,
    resources=RIGHTS,
    read_only=st.booleans(),
    when=WINDOWS.map(tuple),
)
OFF = st.frozensets(st.sampled_from(("git", "time")))
TIMES = st.integers(0, 365 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds))
Decide = Callable[[Sequence[CompiledPolicy], frozenset[str], Thing, datetime], Denied | None]


def widens(decision: Decide, fewer: list[PolicyDefinition], more: PolicyDefinition, off: Any, at: datetime) -> bool:
    """Whether one more policy, or one more server switched off, lets anything through that was denied."""
    before = [CompiledPolicy(str(number), one) for number, one in enumerate(fewer)]
    after = [*before, CompiledPolicy("more", more)]
    return any(
        decision(before, frozenset(), thing, at) is not None and decision(after, off, thing, at) is None
        for thing in EVERYTHING
    )


@each(st.lists(POLICIES, max_size=3), POLICIES, OFF, TIMES)
def test_one_more_policy_never_allows_more(fewer: Any, more: PolicyDefinition, off: Any, at: datetime) -> None:
    assert not widens(decide, fewer, more, off, at)


@each(st.lists(POLICIES, max_size=3), TIMES)
def test_a_denied_thing_is_denied_in_whatever_order_policies_stand(several: Any, at: datetime) -> None:
    assert allowed(*several, at=at) == allowed(*reversed(several), at=at)


@each(POLICIES, TIMES)
def test_a_deny_on_top_takes_away_exactly_what_it_names(one: PolicyDefinition, at: datetime) -> None:
    tools = one.tools or Rights(allow=("*",) if one.prompts is None and one.resources is None else ())
    every = ALL if one.tools is None and one.prompts is None and one.resources is None else None
    denying = PolicyDefinition(
        tools=Rights(allow=tools.allow, deny=(*tools.deny, "git/log")),
        prompts=one.prompts or every,
        resources=one.resources or every,
        read_only=one.read_only,
        when=one.when,
    )
    assert allowed(denying, at=at) == allowed(one, at=at) - {READ}


def last_one_wins(policies: Sequence[CompiledPolicy], off: Any, thing: Thing, at: datetime) -> Denied | None:
    return decide(policies[-1:], off, thing, at)


def anyone_may_allow(policies: Sequence[CompiledPolicy], off: Any, thing: Thing, at: datetime) -> Denied | None:
    denials = [decide([policy], off, thing, at) for policy in policies]
    return denials[0] if denials and all(denials) else None


@pytest.mark.parametrize("broken", [last_one_wins, anyone_may_allow])
def test_a_decision_that_widens_is_found_out(broken: Decide) -> None:
    narrow, wide = PolicyDefinition(tools=Rights(allow=("git/log",))), PolicyDefinition(tools=ALL)
    assert widens(broken, [narrow], wide, frozenset(), NOW)
    assert not widens(decide, [narrow], wide, frozenset(), NOW)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"required": True}, [{"repo": None}, {"repo": "x"}], [{}, {"repos": 1}]),
        ({"forbidden": True}, [{}, {"x": {"repo": 1}}], [{"repo": None}, {"repo": ""}]),
        ({"values": ("a", 1)}, [{}, {"repo": "a"}, {"repo": 1}, {"repo": ["a", [1]]}, {"repo": []}],
         [{"repo": "b"}, {"repo": True}, {"repo": ["a", "b"]}, {"repo": {"a": 1}}, {"repo": None}]),
        ({"values": (True,)}, [{"repo": True}], [{"repo": 1}, {"repo": "true"}]),
        ({"pattern": "acme/[a-z]+"}, [{"repo": "acme/web"}, {"repo": ["acme/a", "acme/b"]}],
         [{"repo": one} for one in ("xacme/web", "acme/web\n", "acme/web\nevil", 7, ["acme/a", "b"])]),
        ({"pattern": "a|b"}, [{"repo": "b"}], [{"repo": "bx"}, {"repo": "xa"}]),
        ({"argument": "options.force", "forbidden": True}, [{"options": {}}, {"options": 1}],
         [{"options": {"force": 0}}]),
        ({"argument": "ops.path", "pattern": "/srv/.*"},
         [{"ops": [{"path": "/srv/a"}, {"x": 1}]}, {"ops": []}, {"ops": ["a"]}, {"ops": [[{"path": ["/srv/a"]}]]}],
         [{"ops": [{"path": "/etc/a"}]}, {"ops": [{"path": "/srv/a"}, {"path": "/etc/a"}]},
          {"ops": [[{"path": "/etc/a"}]]}, {"ops": {"path": ["/srv/a", "/etc/a"]}}]),
        ({"argument": "ops.path", "required": True}, [{"ops": [{"path": 1}, {"path": 2}]}],
         [{"ops": [{"path": 1}, {}]}, {"ops": []}, {"ops": [1]}, {}]),
        ({"argument": "a.b.c", "forbidden": True}, [{"a": [{"b": [{"d": 1}]}]}], [{"a": [{}, {"b": [{}, {"c": 0}]}]}]),
        ({"argument": "/ops/1/path", "values": ("x",)}, [{"ops": [{"path": "y"}, {"path": "x"}]}, {"ops": [{}]}],
         [{"ops": [{"path": "x"}, {"path": "y"}]}, {"ops": [{"1": {"path": "y"}}, {}]}]),
        ({"argument": "/a~1b/c.d", "values": (1,)}, [{"a/b": {"c.d": 1}}], [{"a/b": {"c.d": 2}}]),
    ],
)  # fmt: skip
def test_an_argument_has_to_be_what_the_rule_says(rule: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    compiled = CompiledArgumentRule(ArgumentRule(**{"argument": "repo", "name": "ours", **rule}))
    assert [compiled.fault(arguments) for arguments in good] == [None] * len(good)
    for arguments in bad:
        fault = compiled.fault(arguments)
        assert fault is not None, arguments
        assert fault.startswith("ours: ")
        assert "evil" not in fault, "no value is told"


def test_a_hostile_pattern_costs_no_more_than_its_text_is_long() -> None:
    rule = CompiledArgumentRule(ArgumentRule(argument="a", pattern="(a+)+"))
    assert rule.fault({"a": "a" * 200_000 + "b"}) is not None


def test_an_argument_rule_holds_for_the_tools_it_names() -> None:
    rule = ArgumentRule(argument="repo", tools=("git/re*",), required=True)
    policy = CompiledPolicy("p", PolicyDefinition(arguments=(rule,)))
    assert policy.argument_rules("git", "reset")
    assert not policy.argument_rules("git", "log")


def test_a_pattern_that_no_engine_takes_any_more_lets_nothing_through() -> None:
    definition = PolicyDefinition(arguments=(ArgumentRule(argument="a", pattern="(?=x)"),))
    (rule,) = CompiledPolicy("p", definition).argument_rules("git", "log")
    assert rule.fault({}) is not None
    assert rule.fault({"a": "x"}) is not None


ZURICH = "Europe/Zurich"


@pytest.mark.parametrize(
    ("window", "instant", "expected"),
    [
        (Window(start="08:00", end="18:00"), "2026-11-20T08:00:00+00:00", True),
        (Window(start="08:00", end="18:00"), "2026-11-20T18:00:00+00:00", False),
        (Window(start="08:00", end="18:00", zone=ZURICH), "2026-11-20T07:30:00+00:00", True),
        (Window(start="08:00", end="18:00", zone=ZURICH), "2026-07-20T06:30:00+00:00", True),
        (Window(days=("thu",), start="22:00", end="06:00"), "2026-11-20T05:59:59+00:00", True),
        (Window(days=("fri",), start="22:00", end="06:00"), "2026-11-20T05:59:59+00:00", False),
        (Window(days=("fri",)), "2026-11-20T23:59:59+00:00", True),
        (Window(days=("fri",), zone=ZURICH), "2026-11-20T23:30:00+00:00", False),
        # The hour that is there twice belongs to the night whole; the one that is not there opens at its end.
        (Window(start="02:00", end="03:00", zone=ZURICH), "2026-10-25T00:30:00+00:00", True),
        (Window(start="02:30", end="04:00", zone=ZURICH), "2026-03-29T01:40:00+00:00", True),
    ],
)
def test_a_window_is_open_by_the_clocks_of_its_zone(window: Window, instant: str, expected: bool) -> None:
    assert open_at([window], datetime.fromisoformat(instant)) is expected


@each(
    st.builds(
        Window,
        days=st.lists(st.sampled_from(DAYS), min_size=1).map(tuple),
        start=st.sampled_from(("00:00", "08:30", "22:00")),
        end=st.sampled_from(("06:00", "18:00", "24:00")),
        zone=st.sampled_from(("UTC", ZURICH, "America/St_Johns")),
    ),
    TIMES,
)
def test_until_the_next_change_a_window_stays_as_it_is(window: Window, instant: datetime) -> None:
    following = next_change([window], instant)
    assert following > instant
    for share in (0.0, 0.3, 0.999):
        between = instant + (following - instant) * share
        assert open_at([window], between) is open_at([window], instant)
    assert following - instant <= timedelta(days=8)


ORDER = {"command_id": "1", "organisation": "acme", "comment": "why"}


def test_a_policy_is_set_once_changed_and_removed() -> None:
    one, other = PolicyDefinition(read_only=True), PolicyDefinition(tools=ALL)
    wanted = SetPolicy(**ORDER, policy="careful", definition=one)
    given(POLICY).when(wanted).then(PolicySet(policy="careful", definition=one))
    given(POLICY, PolicySet(policy="careful", definition=one)).when(wanted).then_nothing()
    given(POLICY, PolicySet(policy="careful", definition=other)).when(wanted).then(
        PolicySet(policy="careful", definition=one)
    )
    remove = RemovePolicy(**ORDER, policy="careful")
    given(POLICY).when(remove).then_refused("policy.unknown")
    given(POLICY, PolicySet(policy="careful", definition=one)).when(remove).then(PolicyRemoved(policy="careful"))
    silent = SetPolicy(**{**ORDER, "comment": " "}, policy="careful", definition=one)
    given(POLICY).when(silent).then_refused("comment.required")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (PolicyDefinition(callers=PolicyCallers()), "for: names nobody"),
        (PolicyDefinition(playbooks=()), "playbooks: names no playbook"),
        (PolicyDefinition(tools=Rights(allow=("*",), deny=("edit",))), "tools.deny: 'edit' has nothing of any server"),
        (PolicyDefinition(prompts=Rights(allow=("sum*",))), "prompts.allow: 'sum*'"),
        (PolicyDefinition(resources=Rights(allow=("note://a/*",))), "like '*/note://a/*'"),
        (
            PolicyDefinition(arguments=(ArgumentRule(argument="a", required=True, tools=("edit",)),)),
            "arguments[0].tools",
        ),
        (PolicyDefinition(limits=(LimitRule(calls=1, every="day", tools=("*", "edit")),)), "limits[0].tools: 'edit'"),
        (PolicyDefinition(tools=Rights(deny=("*/x",))), 'add `allow: ["*"]`'),
        (PolicyDefinition(arguments=(ArgumentRule(argument="a"),)), "demands nothing"),
        (PolicyDefinition(arguments=(ArgumentRule(argument="", required=True),)), "name the argument"),
        (PolicyDefinition(arguments=(ArgumentRule(argument="a", required=True, forbidden=True),)), "cannot be both"),
        (PolicyDefinition(arguments=(ArgumentRule(argument="a", pattern="(?=x)"),)), "look-around"),
        (PolicyDefinition(arguments=(ArgumentRule(argument="a", pattern="a)|(b"),)), "no expression"),
        (PolicyDefinition(arguments=(ArgumentRule(argument="a", pattern="(a{1000}){1000}"),)), "no expression"),
        (PolicyDefinition(when=(Window(start="8:00"),)), "'8:00' is no time"),
        (PolicyDefinition(when=(Window(start="08:00", end="08:00"),)), "same time"),
        (PolicyDefinition(when=(Window(start="24:00", end="00:00"),)), "24:00 only ends a day"),
        (PolicyDefinition(arguments=(ArgumentRule(argument="a", values=(1, float("nan"))),)), "not all of them"),
        (PolicyDefinition(arguments=(ArgumentRule(argument="a", values=({"x": [float("inf")]},)),)), "not all of them"),
        (PolicyDefinition(when=(Window(zone="Mars/Base"),)), "no zone 'Mars/Base'"),
        (PolicyDefinition(when=(Window(zone="../../etc/passwd"),)), "no zone"),
        (PolicyDefinition(limits=(LimitRule(calls=1, every="day", per=()),)), "limits[0].per"),
        (PolicyDefinition(playbooks=("x" * 2000,)), "over 1000 characters"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_with_its_place(wrong: PolicyDefinition, says: str) -> None:
    with pytest.raises(Problem) as refusal:
        POLICY.decide(SetPolicy(**ORDER, policy="careful", definition=wrong), POLICY.initial)
    assert refusal.value.code == "policy.invalid"
    assert says in str(refusal.value)
    assert refusal.value.data["faults"]


def test_a_server_is_switched_off_and_on_and_an_unknown_one_is_not() -> None:
    off = SwitchServer(**ORDER, server="git", on=False)
    assert switch(off, frozenset(), registered=True) == [ServerSwitched(server="git", on=False)]
    assert switch(off, frozenset({"git"}), registered=True) == []
    on = SwitchServer(**ORDER, server="git", on=True)
    assert switch(on, frozenset({"git"}), registered=False) == [ServerSwitched(server="git", on=True)]
    with pytest.raises(Problem, match="not registered"):
        switch(off, frozenset(), registered=False)
