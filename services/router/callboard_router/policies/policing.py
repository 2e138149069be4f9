"""Which view of a playbook a caller gets: made when the first of its kind asks, then looked up.

A caller's policies are looked for once (`PolicySet.of`); callers with the same ones share a view. All of it is thrown
away when a policy, the playbook or a server of it changes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf

from callboard.contracts.calls import RpcHead
from callboard.contracts.policy_definitions import PolicyDefinition
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.policies.limits import CompiledLimit, limits_of
from callboard_router.policies.rights import Caller, CompiledPolicy
from callboard_router.policies.view import View

MAX_CALLERS = 10_000
"""Callers of one playbook whose policies are remembered."""


class PolicyBook:
    """The policies of one organisation, compiled, and its servers that are switched off. Immutable."""

    def __init__(
        self, organisation: str, definitions: Mapping[str, PolicyDefinition], off: frozenset[str] = frozenset()
    ) -> None:
        self.off = off
        self._policies = [CompiledPolicy(name, definition) for name, definition in sorted(definitions.items())]
        self._limits: dict[str, tuple[CompiledLimit, ...]] = {
            policy.name: limits_of(organisation, policy.name, policy.definition.limits) for policy in self._policies
        }
        self.has_times = any(policy.definition.when for policy in self._policies)

    def of(self, playbook: str) -> list[CompiledPolicy]:
        """Those that concern anybody in a playbook."""
        return [policy for policy in self._policies if policy.holds_for(playbook)]

    def limits(self, policies: Sequence[CompiledPolicy]) -> tuple[CompiledLimit, ...]:
        """The limits of these."""
        return tuple(limit for policy in policies for limit in self._limits[policy.name])

    def next_change(self, instant: datetime) -> datetime | None:
        """The next time at which one of them opens or closes."""
        return min((at for policy in self._policies if (at := policy.changes_after(instant))), default=None)

    def policing(self, compiled: CompiledPlaybook) -> PlaybookPolicing | None:
        """What holds for a playbook; None where nothing does, and then nothing is looked at."""
        found = self.of(compiled.name)
        concerned = self.off & compiled.definition.servers.keys()
        return PlaybookPolicing(self, found, compiled) if found or concerned else None


class _Kept:
    __slots__ = ("until", "view")

    def __init__(self, view: View, until: float) -> None:
        self.view = view
        self.until = until


class PlaybookPolicing:
    """The views of one compiled playbook."""

    def __init__(self, book: PolicyBook, policies: list[CompiledPolicy], whole: CompiledPlaybook) -> None:
        self._book = book
        self._policies = policies
        self._whole = whole
        self._callers: dict[tuple[str, str, str, str], _Kept] = {}
        self._views: dict[tuple[str, ...], _Kept] = {}

    def view(self, head: RpcHead) -> CompiledPlaybook:
        """One look-up for a caller that was here before."""
        key = (head.client, head.principal, head.member, head.oauth_client)
        kept = self._callers.get(key)
        if kept is None or (kept.until < inf and time.time() >= kept.until):
            if len(self._callers) >= MAX_CALLERS:
                self._callers.clear()
            kept = self._callers[key] = self._found(Caller(*key))
        return kept.view

    def _found(self, caller: Caller) -> _Kept:
        policies = [policy for policy in self._policies if policy.concerns(caller)]
        names = tuple(policy.name for policy in policies)
        kept = self._views.get(names)
        if kept is None or kept.until <= time.time():
            kept = self._views[names] = self._made(policies)
        return kept

    def _made(self, policies: list[CompiledPolicy]) -> _Kept:
        now = datetime.now(UTC)
        changes = [at.timestamp() for policy in policies if (at := policy.changes_after(now)) is not None]
        view = View(self._whole, policies, self._book.off, now, self._book.limits(policies))
        return _Kept(view, min(changes, default=inf))
