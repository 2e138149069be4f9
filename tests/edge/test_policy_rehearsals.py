"""Whom a rehearsal is about: those who can come, with all that the router would know of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from callboard.contracts.access import AskTokens, TokenLine, Tokens
from callboard.contracts.calls import CallContent, CallRecord
from callboard.contracts.oauth_server import AskGrants, GrantLine, Grants
from callboard.contracts.people import AskMembers, MemberLine, Members
from callboard.contracts.personal import AskPersons, Persons
from callboard.contracts.policies import AskPolicyTest, Attempt, PolicyRehearsal, PolicyTested, Tried
from callboard.contracts.policy_definitions import ArgumentRule, LimitRule, PolicyDefinition, Rights
from callboard.contracts.problems import Problem
from callboard.contracts.records import AskCalls, Calls
from callboard.platform.bus import Bus
from callboard_edge.api.names import Names
from callboard_edge.policies.rehearse import Askers, rehearse
from tests.contracts.golden import WHEN
from tests.projections.stack import call_record

TOKEN: dict[str, Any] = {"scopes": ("use",), "playbooks": ("*",), "created_at": WHEN}
GRANT = GrantLine(
    grant="g1", organisation="acme", member="m1", client_id="app-1", client_name="", playbook="", resource="",
    scopes=(), means="consent", created_at=WHEN,
)  # fmt: skip


async def answered(subject: str, question: Any, answer: Any, **how: Any) -> Any:
    match question:
        case AskTokens():
            gone = TokenLine(key_id="k2", client="old", revoked_at=WHEN, **TOKEN)
            return Tokens(tokens=(TokenLine(key_id="k1", client="bot", member="m2", **TOKEN), gone))
        case AskGrants():
            return Grants(grants=(GRANT,))
        case AskMembers():
            line = MemberLine(member="m1", kind="person", role="viewer", permissions=(), since=WHEN)
            return Members(members=(line,), invitations=())
        case AskPersons():
            return Persons(persons=())
        case AskCalls():
            return Calls(calls=())
        case AskPolicyTest():
            return PolicyTested(tried=())
    raise AssertionError(question)


BUS = cast("Bus", SimpleNamespace(ask=answered))


async def known(**said: str) -> Attempt:
    return await Askers(BUS, Names(BUS), "acme").attempt(Attempt(playbook="p", name="t", **cast("Any", said)))


async def test_with_a_key_comes_all_that_is_known_of_it() -> None:
    token, grant = await known(key="k1"), await known(key="g1")
    assert (token.client, token.member, token.oauth_client) == ("bot", "m2", "")
    assert (grant.client, grant.member, grant.oauth_client) == ("m1", "m1", "app-1")
    assert (await known(member="m1")).member == "m1"


@pytest.mark.parametrize(
    ("said", "code"),
    [({"key": "k2"}, "token.unknown"), ({"key": "k9"}, "token.unknown"), ({"member": "m9"}, "member.unknown")],
)
async def test_nobody_can_come_as_who_is_unknown_or_revoked(said: dict[str, str], code: str) -> None:
    with pytest.raises(Problem) as refusal:
        await known(**said)
    assert refusal.value.code == code


async def test_a_rehearsal_on_recorded_calls_says_what_it_does_not_judge() -> None:
    strict = PolicyDefinition(limits=(LimitRule(calls=1, every="day"),), resources=Rights(allow=("*",)))
    wish = PolicyRehearsal(policies={"strict": strict}, days=1)
    told = (await rehearse(BUS, Names(BUS), "acme", wish)).not_judged
    assert [what.split()[0] for what in told] == ["limits", "resources"]
    assert (await rehearse(BUS, Names(BUS), "acme", PolicyRehearsal(policies=wish.policies))).not_judged == ()


def call(number: int, content: CallContent | None) -> CallRecord:
    return call_record(f"c{number}", playbook="p", tool="t", method="tools/call", outcome="ok", content=content)


async def test_recorded_calls_are_held_against_rules_about_the_arguments_that_were_kept() -> None:
    made = [
        call(0, CallContent(arguments={"path": "/etc"})),
        call(1, CallContent(arguments={"path": "[taken out]"}, redacted=("/arguments/path",))),
        call(2, CallContent(omitted=("arguments",))),
        call(3, None),
        call(4, CallContent(arguments={"path": "/srv"}, redacted=("/result/key",))),
    ]
    asked: list[AskCalls] = []
    tried: list[Attempt] = []

    async def answering(subject: str, question: Any, answer: Any, **how: Any) -> Any:
        if isinstance(question, AskCalls):
            asked.append(question)
            return Calls(calls=tuple(made))
        if isinstance(question, AskPolicyTest):
            tried.extend(question.attempts)
            return PolicyTested(
                tried=tuple(
                    Tried(now=True, then=one.arguments != {"path": "/etc"}, rule_then="policy strict: arguments")
                    for one in question.attempts
                )
            )
        return await answered(subject, question, answer, **how)

    bus = cast("Bus", SimpleNamespace(ask=answering))
    strict = PolicyDefinition(arguments=(ArgumentRule(argument="path", pattern="/srv.*"),))
    found = await rehearse(bus, Names(bus), "acme", PolicyRehearsal(policies={"strict": strict}, days=1))
    assert [one.arguments for one in tried] == [{"path": "/etc"}, None, None, None, {"path": "/srv"}]
    assert [(line.tool, line.calls, line.newest) for line in found.denied] == [("t", 1, "c0")]
    assert found.not_judged == ("rules about arguments (of 3 of 5 calls these were not kept, or not whole)",)
    assert asked[0].arguments

    made[1:4] = []
    found = await rehearse(bus, Names(bus), "acme", PolicyRehearsal(policies={"strict": strict}, days=1))
    assert found.not_judged == ()
    other = PolicyDefinition(tools=Rights(allow=("*",)))
    await rehearse(bus, Names(bus), "acme", PolicyRehearsal(policies={"other": other}, days=1))
    assert not asked[-1].arguments, "nobody wants them"


async def test_attempts_are_asked_about_in_as_many_messages_as_their_arguments_need() -> None:
    sizes: list[int] = []

    async def answering(subject: str, question: Any, answer: Any, **how: Any) -> Any:
        if isinstance(question, AskCalls):
            return Calls(calls=tuple(call(number, CallContent(arguments={"a": "x" * 90_000})) for number in range(9)))
        if isinstance(question, AskPolicyTest):
            sizes.append(len(question.attempts))
            return PolicyTested(tried=(Tried(now=True, then=True),) * len(question.attempts))
        return await answered(subject, question, answer, **how)

    bus = cast("Bus", SimpleNamespace(ask=answering))
    strict = PolicyDefinition(arguments=(ArgumentRule(argument="a", pattern="x*"),))
    found = await rehearse(bus, Names(bus), "acme", PolicyRehearsal(policies={"strict": strict}, days=1))
    assert sizes == [0, 4, 4, 1]
    assert found.calls == 9
