"""How often: a limit is a counter for each thing it is counted for, in windows that all routers agree upon. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from callboard.contracts.calls import RpcHead
from callboard.contracts.policy_definitions import SECONDS, LimitRule
from callboard.kernel.names import first_match

COUNTED = frozenset({"tools/call", "prompts/get", "resources/read", "completion/complete"})
"""Requests that limits count; what is only about lists, subscriptions and tasks is free."""
SHORT_SECONDS = 60
"""Counters of windows up to this are kept for minutes only."""


class CompiledLimit:
    """One limit of one policy."""

    __slots__ = ("_base", "_per", "_tools", "calls", "policy", "rule", "seconds")

    def __init__(self, organisation: str, policy: str, number: int, rule: LimitRule) -> None:
        self.calls = rule.calls
        self.policy = policy
        self.rule = rule
        self.seconds = SECONDS[rule.every]
        self._tools = rule.tools
        self._per = rule.per
        # The figure is in it, so that another one begins to count anew.
        self._base = f"{organisation}\n{policy}\n{number}\n{rule.calls}\n{rule.every}\n"

    def counts(self, server: str, tool: str) -> bool:
        """Whether it is about this tool (empty: about what is no tool)."""
        if self._tools is None:
            return True
        return tool != "" and first_match(self._tools, f"{server}/{tool}") is not None

    def counter(self, head: RpcHead, server: str, tool: str) -> str | None:
        """The name of the counter, without its window; None where this limit does not count the call.

        A caller without a member is counted by its name; whoever has no address, together with all others of those.
        """
        if not self.counts(server, tool):
            return None
        key = self._base
        for per in self._per:
            match per:
                case "key":
                    key += f"key {head.principal}\n"
                case "person":
                    key += f"person {head.member or head.client}\n"
                case "address":
                    key += f"address {head.address}\n"
                case "tool":
                    key += f"tool {server}/{tool}\n"
                case "organisation":
                    pass
        return key

    def __str__(self) -> str:
        per = " and ".join(self._per)
        of = "" if self._tools is None else f" of {', '.join(self._tools)}"
        return f"policy {self.policy}: {self.calls} calls{of} each {self.rule.every} for each {per}"


def limits_of(organisation: str, policy: str, rules: Sequence[LimitRule]) -> tuple[CompiledLimit, ...]:
    """The limits of one policy."""
    return tuple(CompiledLimit(organisation, policy, number, rule) for number, rule in enumerate(rules))


def counter_token(name: str) -> str:
    """A counter's name as one token of a subject: of any length, and telling nothing."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def share_of(limit: int, left: int) -> int:
    """How many calls a router asks for at once when so many are left of a limit.

    A fortieth of the limit, less near the end: what a router that has gone quiet holds back is then little.
    """
    return max(1, min(limit // 40, left // 8))


class Share:
    """What this router may still let through of one counter in one window. `left` is what nobody has taken yet."""

    __slots__ = ("end", "granted", "left", "limit")

    def __init__(self, limit: int, end: float) -> None:
        self.limit = limit
        self.left = limit
        self.granted = 0
        self.end = end

    @property
    def wanted(self) -> int:
        """What to ask the allocator for."""
        return share_of(self.limit, self.left)

    @property
    def used_up(self) -> bool:
        """Whether nobody gets any more before the window ends."""
        return self.granted <= 0 and self.left <= 0

    def take_in(self, asked: int, total: int) -> None:
        """The allocator has counted `asked` more, and `total` altogether: of these the limit's part is ours."""
        before = total - asked
        self.granted += max(0, min(asked, self.limit - before))
        self.left = max(0, self.limit - total)

    def retry_after(self, now: float) -> int:
        """Whole seconds until the next window, at least one."""
        return max(1, math.ceil(self.end - now))
