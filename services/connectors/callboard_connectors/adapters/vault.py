"""Secrets from authsvc, when a server is connected to; they are not kept here."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.access import OpenedSecrets, OpenSecrets
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus


class BusVault:
    """See `sessions.open.Vault`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def open(self, organisation: str, secrets: tuple[str, ...]) -> dict[str, str]:
        """Name > value of every secret; raises `Problem` when one is not there."""
        question = OpenSecrets(organisation=organisation, secrets=secrets)
        values = (await self._bus.ask(subjects.OPEN_SECRETS, question, OpenedSecrets, within=5.0)).values
        missing = [name for name in secrets if name not in values]
        if missing:
            raise Problem("secret.unknown", f"secret {missing[0]!r} is not in the vault", secret=missing[0])
        return values
