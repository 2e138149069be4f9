"""Whose token is this?"""

from __future__ import annotations

from callboard.contracts.access import Principal, VerifyToken
from callboard.contracts.problems import Problem
from callboard.kernel.tokens import key_id_of
from callboard_authsvc.tokens.dependencies import TokenDependencies
from callboard_authsvc.tokens.domain import is_live
from callboard_authsvc.tokens.principal import principal_of_token


async def verify_token(question: VerifyToken, use: TokenDependencies) -> Principal:
    """Raises `auth.invalid`, with one message for malformed, unknown, expired and revoked."""
    key_id = key_id_of(question.token)
    if key_id is None:
        # Junk does not cost a look-up.
        raise _invalid()
    row = await use.table.find(key_id)
    genuine = use.verifier.fits(question.token, row.verifier if row is not None else None)
    if row is None or not genuine or not is_live(row.revoked_at, row.expires_at, use.clock()):
        raise _invalid()
    principal = principal_of_token(row)
    if principal is None:
        raise _invalid()
    use.last_use.note(row.key_id, use.clock())
    return principal


def _invalid() -> Problem:
    return Problem("auth.invalid", "the token is unknown, expired or revoked")
