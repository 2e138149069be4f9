"""Who is signed in to a server."""

from __future__ import annotations

from callboard.contracts.upstream_sign_in import AskSignIns, SignInLine, SignIns
from callboard_authsvc.upstream_oauth.ports import SignInDependencies


async def list_sign_ins(question: AskSignIns, use: SignInDependencies) -> SignIns:
    """By subject; nothing of the tokens."""
    lines = await use.grants.lines(question.organisation, question.server)
    return SignIns(
        grants=tuple(
            SignInLine(
                subject=line.subject,
                state="reconnect" if line.lost else "connected",
                issuer=line.issuer,
                scopes=line.scopes,
                updated_at=line.updated_at,
            )
            for line in lines
        )
    )
