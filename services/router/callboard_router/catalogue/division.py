"""Which callers of a playbook are served another version than the current one. Pure, and asked for every request."""

from __future__ import annotations

from collections.abc import Mapping

from callboard.contracts.calls import RpcHead


class Division:
    """The callers of one playbook, divided by the version that they are served."""

    __slots__ = ("_pins",)

    def __init__(self, pins: Mapping[str, int]) -> None:
        self._pins = dict(pins)

    def version_for(self, head: RpcHead) -> int:
        """The version for whoever sent this request; 0 for the current one."""
        return self._pins.get(head.client, 0)
