"""Who may issue, replace and revoke tokens: whoever manages them, and every member its own."""

from __future__ import annotations

from callboard.contracts.access import Principal
from callboard.contracts.problems import Problem
from callboard.kernel.names import PERSON_PREFIX
from callboard_authsvc.adapters.token_table import TokenRow
from callboard_authsvc.members.rights import require_to_give
from callboard_authsvc.tokens.dependencies import TokenDependencies


async def require_hold(by: str, row: TokenRow, use: TokenDependencies) -> Principal | None:
    """Whoever has the key `by`, as it is now; raises `auth.forbidden` unless it may deal with this token."""
    principal = await use.rights.of(by)
    if principal is not None and not _owns(principal, row.member, row.organisation):
        principal = await use.rights.require(by, "token:manage", row.organisation)
    return principal


async def member_behind(
    by: str, organisation: str, client: str, scopes: tuple[str, ...], use: TokenDependencies
) -> str:
    """The member that a new token depends on; empty: nobody.

    Raises `auth.forbidden` when whoever has the key `by` may not issue this token, or may do less itself.
    """
    account = await use.members.find(organisation, client)
    principal = await use.rights.of(by)
    own = principal is not None and client == principal.member and _owns(principal, client, organisation)
    if not own:
        principal = await use.rights.require(by, "token:manage", organisation)
        if client.startswith(PERSON_PREFIX):
            raise Problem("auth.forbidden", "only a person can issue tokens under that person's name")
    require_to_give(principal, scopes, organisation)
    if account is not None and account.kind == "service":
        return account.member
    # An administrator of the installation is no member, and what it issued belongs to nobody.
    return principal.member if principal is not None and principal.grants is not None else ""


def _owns(principal: Principal, member: str, organisation: str) -> bool:
    """Whether the member behind a token is the principal's own, and belongs to the organisation."""
    if not member or principal.member != member or principal.playbooks:
        return False
    return principal.grants is not None and organisation in principal.grants
