"""Make a link for somebody who wants to sign in before any call asked for it."""

from __future__ import annotations

from datetime import UTC, datetime

from callboard.contracts.upstream_sign_in import OpenSignIn, SignInLink
from callboard.platform.egress import EgressRefused, FetchFailed
from callboard_authsvc.upstream_oauth.begin import definition_of
from callboard_authsvc.upstream_oauth.domain import Challenge, Whose, challenge_of, failed
from callboard_authsvc.upstream_oauth.ports import Fetch, SignInDependencies

LINK_SECONDS = 600.0
"""How long a link is good for."""
_PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


async def open_sign_in(command: OpenSignIn, use: SignInDependencies) -> SignInLink:
    """Raises `server.unknown`, `server.sign_in_failed`. What the server wants is asked of the server itself."""
    whose = Whose(command.organisation, command.server, command.subject)
    definition, oauth = await definition_of(whose, use)
    if oauth.grant != "authorization_code":
        raise failed("its definition says that nobody has to sign in: Callboard does it by itself")
    handle = await use.sign_ins.open(whose, await _challenged(definition.url or "", use.fetch))
    expires_at = datetime.fromtimestamp(use.clock() + LINK_SECONDS, UTC)
    return SignInLink(url=f"{use.here.connect}/{handle}", expires_at=expires_at)


async def _challenged(url: str, fetch: Fetch) -> Challenge:
    """What the server answers to somebody without a token."""
    try:
        answer = await fetch("POST", url, _HEADERS, _PING)
    except (EgressRefused, FetchFailed) as error:
        raise failed(f"it {error}") from None
    return (
        challenge_of(answer.status, answer.headers.get("www-authenticate", "")) if answer.status == 401 else Challenge()
    )
