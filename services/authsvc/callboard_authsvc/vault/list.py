"""The names in an organisation's vault."""

from __future__ import annotations

from callboard.contracts.access import AskSecrets, SecretLine, Secrets
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.domain import is_name


async def list_secrets(question: AskSecrets, use: VaultDependencies) -> Secrets:
    """By name, each with its newest version. Raises `organisation.unknown`."""
    await use.organisations.require(question.organisation)
    rows = await use.table.names(question.organisation)
    return Secrets(
        secrets=tuple(
            SecretLine(secret=secret, version=version, stored_at=stored_at)
            for secret, version, stored_at in rows
            if is_name(secret)  # others are Callboard's own
        )
    )
