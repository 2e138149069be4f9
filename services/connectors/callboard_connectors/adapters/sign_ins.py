"""Access tokens from authsvc, when a session needs one."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.upstream_sign_in import AskUpstreamToken, UpstreamToken
from callboard.platform.bus import Bus

_WITHIN = 40.0  # two leases of a renewal, and what the authorization server takes


class BusSignIns:
    """See `sessions.bearer.SignIns`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def token(self, question: AskUpstreamToken) -> UpstreamToken:
        """Raises `Problem`."""
        return await self._bus.ask(subjects.UPSTREAM_TOKEN, question, UpstreamToken, within=_WITHIN)
