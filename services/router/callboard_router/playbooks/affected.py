"""Which of the connected clients another current version would reach. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from callboard.contracts.connected import AffectedClient, ConnectedClient, RecentClient
from callboard_router.playbooks.domain import Playbook

_OPEN = ("streams", "connections", "sessions", "calls")


def affected_clients(
    connected: Iterable[ConnectedClient], recent: Iterable[RecentClient], playbook: Playbook
) -> tuple[AffectedClient, ...]:
    """Those that are served whatever is current: not by `@n` in their URL, and not pinned; the busiest first.

    Whom a canary has chosen is one of them: another version ends it.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in connected:
        if one.version == 0 and one.client not in playbook.pins:
            for what in _OPEN:
                counts[one.client][what] += getattr(one, what)
    tried = playbook.canary.version if playbook.canary is not None else playbook.current
    for call in recent:
        if call.version in (playbook.current, tried) and call.client not in playbook.pins:
            counts[call.client]["recent_calls"] += call.calls
    found = [AffectedClient(client=client, **count) for client, count in counts.items()]
    return tuple(sorted(found, key=lambda one: (-one.recent_calls, -one.streams - one.connections, one.client)))
