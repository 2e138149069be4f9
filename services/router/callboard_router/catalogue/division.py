"""Which callers of a playbook are served another version than the current one. Pure, and asked for every request."""

from __future__ import annotations

from collections.abc import Mapping

from callboard.contracts.calls import RpcHead
from callboard.contracts.events import CanaryStarted
from callboard.kernel.canary import is_chosen


class Division:
    """The callers of one playbook, divided by the version that they are served: first by pins, then by a canary."""

    __slots__ = ("_canary", "_pins")

    def __init__(self, pins: Mapping[str, int], canary: CanaryStarted | None) -> None:
        self._pins = dict(pins)
        self._canary = canary

    def version_for(self, head: RpcHead) -> int:
        """The version for whoever sent this request; 0 for the current one."""
        pinned = self._pins.get(head.client)
        if pinned is not None:
            return pinned
        canary = self._canary
        if canary is None:
            return 0
        caller = _caller(head) if head.anonymous else head.client
        if caller and is_chosen(canary.playbook, canary.canary, caller, canary.percent):
            return canary.version
        return 0


def _caller(head: RpcHead) -> str:
    """Whoever has no token is known by the session, else for one call only; questions of an edge have neither."""
    return head.session or (head.call_id if head.era else "")
