"""Tools that want more than ordinary use: whether a caller's scopes are enough, and else who can help. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from callboard.contracts.calls import RpcHead
from callboard.contracts.problems import Problem
from callboard.kernel.access_tokens import BASELINE, covers
from callboard_router.policies.rights import CompiledPolicy


class Demand:
    """The highest scope that policies want for one tool, and the policy that wants it."""

    __slots__ = ("_tool", "policy", "scope")

    def __init__(self, tool: str, policy: str, scope: str) -> None:
        self._tool = tool
        self.policy = policy
        self.scope = scope

    def refusal(self, head: RpcHead) -> str:
        """Why the caller may not call the tool whatever it signs in for; empty when it may.

        Raises `auth.scope_insufficient`, or `auth.required` without a token, where signing in gives what is missing:
        with all scopes that the call needs (MCP 2025-11-25, basic/authorization, "Scope Challenge Handling").
        """
        held, within_reach = head.scopes
        if covers(held, self.scope):
            return ""
        needed = " ".join((*BASELINE, self.scope))
        why = f"policy {self.policy} wants {self.scope} for this tool"
        if head.anonymous:
            raise Problem("auth.required", f"{why}, and so a token", scope=needed, tool=self._tool)
        if covers(within_reach, self.scope):
            raise Problem("auth.scope_insufficient", why, scope=needed, tool=self._tool)
        return (
            f"{why}, which neither this token nor another one of yours allows. "
            "Ask whoever manages the members, or the tokens, of the organisation."
        )


def demand_of(policies: Iterable[CompiledPolicy], server: str, name: str, tool: str) -> Demand | None:
    """What policies want for a tool (`name`: its server's, `tool`: the playbook's); None where none does."""
    found: Demand | None = None
    for policy in policies:
        for scope in policy.scopes_for(server, name):
            if found is None or not covers(found.scope, scope):
                found = Demand(tool, policy.name, scope)
    return found
