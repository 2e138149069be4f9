"""The tokens of an organisation, without their values."""

from __future__ import annotations

from callboard.contracts.access import AskTokens, TokenLine, Tokens
from callboard_authsvc.tokens.dependencies import TokenDependencies


async def list_tokens(question: AskTokens, use: TokenDependencies) -> Tokens:
    """Oldest first, expired and revoked ones included. Raises `organisation.unknown`."""
    await use.organisations.require(question.organisation)
    rows = await use.table.of_organisation(question.organisation)
    return Tokens(
        tokens=tuple(
            TokenLine(
                key_id=row.key_id,
                client=row.client,
                scopes=row.scopes,
                playbooks=row.playbooks,
                created_at=row.created_at,
                expires_at=row.expires_at,
                revoked_at=row.revoked_at,
                member=row.member,
                used_at=row.used_at,
                replaced_by=row.replaced_by,
            )
            for row in rows
        )
    )
