"""The plans there are. An event has the figures it was chosen with, so a change here changes nobody's plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callboard.contracts.plans import Quotas

UNLIMITED: Final = "unlimited"
PLANS: Final[Mapping[str, Quotas]] = {
    "free": Quotas(playbooks=3, servers=5, calls_per_day=1_000),
    "team": Quotas(playbooks=25, servers=50, calls_per_day=100_000),
    "business": Quotas(playbooks=250, servers=500, calls_per_day=5_000_000),
    UNLIMITED: Quotas(),
}


def figures_of(plan: str, changed: Quotas) -> Quotas:
    """The quotas of a plan, with those of `changed` that it has. Raises KeyError for a plan that there is not."""
    usual = PLANS[plan]
    return Quotas(
        playbooks=usual.playbooks if changed.playbooks is None else changed.playbooks,
        servers=usual.servers if changed.servers is None else changed.servers,
        calls_per_day=usual.calls_per_day if changed.calls_per_day is None else changed.calls_per_day,
    )
