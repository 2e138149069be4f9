"""The bootstrap administrator: the one token that does not come from a command but from a setting.

It has a row and no event: "*" is no organisation and has no log.
"""

from __future__ import annotations

from datetime import timedelta

from callboard.contracts.access import EVERY_ORGANISATION
from callboard.kernel.tokens import key_id_of
from callboard.platform.settings import SettingsRefused
from callboard_authsvc.adapters.token_table import TokenRow
from callboard_authsvc.tokens.dependencies import TokenDependencies
from callboard_authsvc.tokens.domain import ADMINISTER

ADMINISTRATOR = "administrator"
RECENT = timedelta(minutes=10)
"""Longer than an edge keeps what it knows of a token."""


async def ensure_administrator(token: str, use: TokenDependencies) -> None:
    """Accept this token as the administrator's and revoke the one that was it before.

    Idempotent, so every instance does it at its start. An empty token leaves everything as it is. Raises
    `SettingsRefused` when a client has a token with this key id.
    """
    key_id = key_id_of(token)
    if key_id is None:
        return
    row = TokenRow(
        key_id=key_id,
        organisation=EVERY_ORGANISATION,
        client=ADMINISTRATOR,
        verifier=use.verifier.of(token),
        scopes=(ADMINISTER,),
        playbooks=(),
        created_at=use.clock(),
    )
    if not await use.table.replace_administrator(row):
        raise SettingsRefused("CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN is a client's token; make another one")


async def announce_recent_revocations(use: TokenDependencies) -> None:
    """Push again what was revoked lately: an instance may have ended between its commit and its push."""
    for key_id in await use.table.revoked_since(use.clock() - RECENT):
        use.push.announce(key_id)
