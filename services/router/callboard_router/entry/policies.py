"""What concerns policies, on the bus: one handler per command and question, each a single call."""

from __future__ import annotations

from callboard.contracts import policy_subjects
from callboard.contracts.policies import (
    AskPolicies,
    AskPolicy,
    AskPolicyExplanation,
    AskPolicyTest,
    Policies,
    PolicyDone,
    PolicyExplanation,
    PolicyTested,
    RemovePolicy,
    SetPolicy,
    ShownPolicy,
    SwitchServer,
)
from callboard.platform.bus import Bus, register
from callboard.platform.event_store import EventStore
from callboard_router.catalogue.served import Served
from callboard_router.decisions import Decisions
from callboard_router.policies import set as policy_set
from callboard_router.policies.explain import ExplainPolicies
from callboard_router.policies.show import ShowPolicies


def register_policies(bus: Bus, decisions: Decisions, store: EventStore, served: Served) -> None:
    """Subscribe all of it."""
    shown, explained = ShowPolicies(decisions, store), ExplainPolicies(decisions, served)

    async def set_policy(command: SetPolicy) -> PolicyDone:
        return await policy_set.set_policy(command, decisions)

    async def remove_policy(command: RemovePolicy) -> PolicyDone:
        return await policy_set.remove_policy(command, decisions)

    async def switch_server(command: SwitchServer) -> PolicyDone:
        return await policy_set.switch_server(command, decisions)

    async def policies(question: AskPolicies) -> Policies:
        return await shown.policies(question)

    async def policy(question: AskPolicy) -> ShownPolicy:
        return await shown.policy(question)

    async def explain(question: AskPolicyExplanation) -> PolicyExplanation:
        return await explained.explain(question)

    async def test(question: AskPolicyTest) -> PolicyTested:
        return await explained.test(question)

    register(bus, policy_subjects.SET_POLICY, set_policy)
    register(bus, policy_subjects.REMOVE_POLICY, remove_policy)
    register(bus, policy_subjects.SWITCH_SERVER, switch_server)
    register(bus, policy_subjects.POLICIES, policies)
    register(bus, policy_subjects.POLICY, policy)
    register(bus, policy_subjects.EXPLAIN_POLICY, explain, workers=2)
    register(bus, policy_subjects.TEST_POLICIES, test, workers=2)
