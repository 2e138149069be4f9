"""Policies: who may use what, with which arguments, when and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callboard.client.routes import SLOW_SECONDS, Routes, organisation_path, part_of
from callboard.contracts.policies import (
    Attempt,
    Expectation,
    NewPolicy,
    Policies,
    PolicyDone,
    PolicyExplanation,
    PolicyRehearsal,
    PolicyRehearsed,
    ShownPolicy,
    Switch,
)
from callboard.contracts.policy_definitions import PolicyDefinition


class Policing(Routes):
    """The routes about policies, and the switches of servers."""

    def policies(self, organisation: str) -> Policies:
        """All that hold, and the servers that are switched off."""
        return self._get(f"{organisation_path(organisation)}/policies", Policies)

    def policy(self, organisation: str, policy: str) -> ShownPolicy:
        """One, and who changed it when and why."""
        return self._get(_path(organisation, policy), ShownPolicy)

    def set_policy(
        self, organisation: str, policy: str, definition: PolicyDefinition, comment: str = "", *, dry_run: bool = False
    ) -> PolicyDone:
        """Make it say this from now on; it can only take away."""
        body = NewPolicy(definition=definition, comment=comment, dry_run=dry_run)
        return self._change("PUT", _path(organisation, policy), PolicyDone, body)

    def remove_policy(self, organisation: str, policy: str, comment: str) -> PolicyDone:
        """Let it hold no more."""
        return self._change("DELETE", _path(organisation, policy), PolicyDone, query={"comment": comment})

    def switch_server(self, organisation: str, server: str, *, on: bool, comment: str) -> PolicyDone:
        """Take everything of a server away from everybody in the organisation, or give it back."""
        path = f"{organisation_path(organisation)}/servers/{part_of(server)}/switch"
        return self._change("PUT", path, PolicyDone, Switch(on=on, comment=comment))

    def explain_policy(self, organisation: str, attempt: Attempt) -> PolicyExplanation:
        """What would become of this attempt, and every layer's verdict."""
        return self._post(f"{organisation_path(organisation)}/policies/explain", attempt, PolicyExplanation)

    def test_policies(
        self,
        organisation: str,
        policies: Mapping[str, PolicyDefinition],
        expect: Sequence[Expectation] = (),
        *,
        days: float = 0.0,
        only: bool = False,
    ) -> PolicyRehearsed:
        """Try policies without setting them: on expectations, and on the recorded calls of the last days."""
        body = PolicyRehearsal(policies=dict(policies), expect=tuple(expect), days=days, only=only)
        path = f"{organisation_path(organisation)}/policies/test"
        return self._post(path, body, PolicyRehearsed, timeout=SLOW_SECONDS)


def _path(organisation: str, policy: str) -> str:
    return f"{organisation_path(organisation)}/policies/{part_of(policy)}"
