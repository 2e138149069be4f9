"""`cb.ask.router.policies` and `cb.ask.router.policy`: what holds, and who has changed it when and why."""

from __future__ import annotations

from callboard.contracts.policies import AskPolicies, AskPolicy, Policies, PolicyChange, PolicyLine, ShownPolicy
from callboard.contracts.policy_events import PolicyRemoved, PolicySet
from callboard.contracts.problems import Problem
from callboard.platform.event_store import EventStore
from callboard_router.decisions import Decisions


class ShowPolicies:
    """Answers from memory; the history is read from the log, where names can be erased."""

    def __init__(self, decisions: Decisions, store: EventStore) -> None:
        self._decisions = decisions
        self._store = store

    async def policies(self, question: AskPolicies) -> Policies:
        """All of them, by name."""
        organisation = await self._decisions.current(question.organisation)
        lines = (PolicyLine(policy=name, definition=one) for name, one in sorted(organisation.policies.items()))
        return Policies(policies=tuple(lines), switched_off=tuple(sorted(organisation.switched_off)))

    async def policy(self, question: AskPolicy) -> ShownPolicy:
        """One and its history, also when it was removed; `policy.unknown` when there never was one."""
        organisation = await self._decisions.current(question.organisation)
        stream = await self._store.read_stream(question.organisation, f"policy-{question.policy}")
        changes = tuple(
            PolicyChange(
                actor=recorded.meta.actor,
                comment=recorded.meta.comment,
                at=recorded.recorded_at,
                definition=recorded.event.definition if isinstance(recorded.event, PolicySet) else None,
            )
            for recorded in reversed(stream)
            if isinstance(recorded.event, PolicySet | PolicyRemoved)
        )
        if not changes:
            raise Problem("policy.unknown", f"there is no policy {question.policy!r}", policy=question.policy)
        definition = organisation.policies.get(question.policy)
        return ShownPolicy(policy=question.policy, definition=definition, changes=changes)
