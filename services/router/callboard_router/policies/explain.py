"""`cb.ask.router.explain_policy` and `.test_policies`: what becomes of an attempt, and which rule decides.

It asks the same functions as a view is made of, against the playbook as nobody is served it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from callboard.contracts.policies import (
    AskPolicyExplanation,
    AskPolicyTest,
    Attempt,
    PolicyExplanation,
    PolicyTested,
    PolicyVerdict,
    Tried,
)
from callboard.contracts.policy_definitions import PolicyDefinition
from callboard.contracts.problems import Problem
from callboard.kernel.plain_json import plain
from callboard_router.catalogue.compiled import CompiledPlaybook, ToolRoute
from callboard_router.catalogue.served import Served
from callboard_router.decisions import Decisions
from callboard_router.policies.domain import refuse_faults
from callboard_router.policies.policing import PolicyBook
from callboard_router.policies.rights import SWITCHED_OFF, Caller, CompiledPolicy, Thing
from callboard_router.policies.uris import is_elsewhere
from callboard_router.policies.view import broken_rule, thing_of
from callboard_router.state import Organisation


class _Tried(NamedTuple):
    thing: Thing | None
    verdicts: tuple[PolicyVerdict, ...]
    policies: list[CompiledPolicy]

    @property
    def denial(self) -> PolicyVerdict | None:
        return next((verdict for verdict in self.verdicts if not verdict.allowed), None)


class ExplainPolicies:
    """Answers from what is served now."""

    def __init__(self, decisions: Decisions, served: Served) -> None:
        self._decisions = decisions
        self._served = served

    async def explain(self, question: AskPolicyExplanation) -> PolicyExplanation:
        """Every layer's verdict; `playbook.unknown` where there is none of this name."""
        organisation = await self._decisions.current(question.organisation)
        book = PolicyBook(question.organisation, organisation.policies, organisation.switched_off)
        tried = _try(question.attempt, self._served.whole(question.organisation, question.attempt.playbook), book)
        return PolicyExplanation(
            allowed=tried.denial is None,
            server=tried.thing.server if tried.thing is not None else "",
            upstream_name=tried.thing.name if tried.thing is not None else "",
            verdicts=tried.verdicts,
            limits=_limits(tried, book),
        )

    async def test(self, question: AskPolicyTest) -> PolicyTested:
        """Each attempt under the policies of now and under those; raises `policy.invalid`."""
        organisation = await self._decisions.current(question.organisation)
        for name, definition in question.policies.items():
            refuse_faults(name, definition)
        now = PolicyBook(question.organisation, organisation.policies, organisation.switched_off)
        then = PolicyBook(question.organisation, _wanted(organisation, question), organisation.switched_off)
        return PolicyTested(
            tried=tuple(self._both(question.organisation, attempt, now, then) for attempt in question.attempts)
        )

    def _both(self, organisation: str, attempt: Attempt, now: PolicyBook, then: PolicyBook) -> Tried:
        try:
            whole = self._served.whole(organisation, attempt.playbook)
        except Problem as problem:
            return Tried(now=False, then=False, rule_now=problem.code, rule_then=problem.code)
        before, after = (_try(attempt, whole, book).denial for book in (now, then))
        return Tried(now=before is None, then=after is None, rule_now=_said(before), rule_then=_said(after))


def _limits(tried: _Tried, book: PolicyBook) -> tuple[str, ...]:
    """Those that count what is attempted."""
    if tried.thing is None:
        return ()
    tool = tried.thing.name if tried.thing.kind == "tool" else ""
    return tuple(str(limit) for limit in book.limits(tried.policies) if limit.counts(tried.thing.server, tool))


def _wanted(organisation: Organisation, question: AskPolicyTest) -> dict[str, PolicyDefinition]:
    return question.policies if question.only else {**organisation.policies, **question.policies}


def _said(denial: PolicyVerdict | None) -> str:
    if denial is None:
        return ""
    return f"policy {denial.policy}: {denial.rule}" if denial.policy else denial.rule


def _try(attempt: Attempt, whole: CompiledPlaybook, book: PolicyBook) -> _Tried:
    instant = attempt.at or datetime.now(UTC)
    caller = Caller(attempt.client, attempt.key, attempt.member, attempt.oauth_client)
    policies = [policy for policy in book.of(whole.name) if policy.concerns(caller)]
    try:
        thing = _thing(attempt, whole)
    except Problem as problem:
        refused = PolicyVerdict(layer="playbook", allowed=False, rule=f"{problem.code}: {problem}")
        return _Tried(None, (refused,), policies)
    off = thing.server in book.off
    verdicts = [
        PolicyVerdict(layer="organisation", allowed=not off, rule=SWITCHED_OFF.rule if off else ""),
        PolicyVerdict(layer="playbook", allowed=True, rule=f"{whole.name}@{whole.version} shows it"),
        *(_verdict(policy, thing, instant) for policy in policies),
    ]
    if thing.kind == "tool" and attempt.arguments is not None:
        arguments = _filled(whole.tools[attempt.name], attempt.arguments)
        broken = broken_rule(policies, thing.server, thing.name, arguments)
        if broken is not None:
            verdicts.append(PolicyVerdict(layer="arguments", allowed=False, policy=broken.policy, rule=broken.rule))
    if thing.kind == "tool":
        verdicts += [
            _wanted_scope(one, scope) for one in policies for scope in one.scopes_for(thing.server, thing.name)
        ]
    listed = thing.name in whole.exposure.resources
    if thing.kind == "resource" and (policies or book.off) and not listed and is_elsewhere(thing.name):
        elsewhere = "the URI may lead elsewhere (`..`, or escapes of escapes)"
        verdicts.append(PolicyVerdict(layer="playbook", allowed=False, rule=elsewhere))
    return _Tried(thing, tuple(verdicts), policies)


def _filled(route: ToolRoute, arguments: dict[str, Any]) -> Any:
    """As the server gets them: with the playbook's defaults and pins."""
    if route.filling is None:
        return arguments
    _, given = route.filling.filled(msgspec.json.encode({"arguments": arguments}))
    return plain(given)


def _verdict(policy: CompiledPolicy, thing: Thing, instant: datetime) -> PolicyVerdict:
    denial = policy.denial(thing, instant)
    rule = policy.allowance(thing) if denial is None else denial
    return PolicyVerdict(layer=policy.definition.layer, allowed=denial is None, policy=policy.name, rule=rule)


def _wanted_scope(policy: CompiledPolicy, scope: str) -> PolicyVerdict:
    """No denial: which scopes somebody has is not known of an attempt."""
    rule = f"step_up: with the scope {scope} alone"
    return PolicyVerdict(layer=policy.definition.layer, allowed=True, policy=policy.name, rule=rule)


def _thing(attempt: Attempt, whole: CompiledPlaybook) -> Thing:
    """What an attempt is at; raises the `Problem` that a caller of the playbook without policies would get."""
    if attempt.kind == "resource":
        server, _ = whole.resource_server(attempt.name)
        return Thing("resource", server, attempt.name)
    entries = whole.exposure.tools if attempt.kind == "tool" else whole.exposure.prompts
    entry = entries.get(attempt.name)
    if entry is None:
        code = "tool.unknown" if attempt.kind == "tool" else "prompt.unknown"
        raise Problem(code, f"the playbook has no {attempt.kind} {attempt.name!r}")
    return thing_of(attempt.kind, entry)
