"""Whom a token stands for, given its row."""

from __future__ import annotations

from callboard.contracts.access import Principal
from callboard_authsvc.adapters.token_table import TokenRow


def principal_of_token(row: TokenRow) -> Principal | None:
    """None when the member behind the token is none any more."""
    if row.member and row.rights is None:
        return None
    return Principal(
        key_id=row.key_id,
        client=row.client,
        organisation=row.organisation,
        scopes=row.scopes,
        playbooks=row.playbooks,
        expires_at=row.expires_at,
        member=row.member,
        grants={row.organisation: row.rights} if row.rights is not None else None,
    )
