"""Sign in at the identity provider: authorization code with PKCE, bound to the browser that began it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from callboard.contracts.people import ExternalLogin, FinishExternal, SessionOpened, StartExternal
from callboard.contracts.problems import Problem
from callboard.kernel.tokens import base62
from callboard_authsvc.adapters.external_table import PendingLogin
from callboard_authsvc.adapters.identity_provider import IdentityProvider
from callboard_authsvc.adapters.person_table import PersonRow
from callboard_authsvc.external.dependencies import ExternalDependencies
from callboard_authsvc.external.domain import Identity, identity_of, refused
from callboard_authsvc.external.person import person_behind
from callboard_authsvc.people.sessions import end_former, open_session
from callboard_authsvc.refusals.domain import Shown

_LIFE: Final = timedelta(minutes=10)
_RANDOM_BYTES, _LENGTH = 40, 43


async def start_external(command: StartExternal, use: ExternalDependencies) -> ExternalLogin:
    """Where to send the browser, and what it has to show when it comes back. Raises `login.unavailable`."""
    provider, people = _provider(use), use.people
    state, ticket, nonce, verifier = [base62(people.chance(_RANDOM_BYTES), _LENGTH) for _ in range(4)]
    now = people.clock()
    login = PendingLogin(ticket=people.verifier.of(ticket), verifier=verifier, nonce=nonce, expires_at=now + _LIFE)
    await use.table.begin(people.verifier.of(state), login, now)
    return ExternalLogin(url=await provider.authorization_url(state, nonce, verifier), ticket=ticket)


async def finish_external(command: FinishExternal, use: ExternalDependencies) -> SessionOpened:
    """A session of the person whom the provider vouches for. Raises `login.refused` or `login.unavailable`.

    `iss`, where the provider sends it, must be the issuer's (RFC 9207), and that is looked at before the code.
    """
    people = use.people
    with people.refusals.of("login", Shown(), command.address):
        person = await _person_behind(command, use)
    await end_former(command.former, people)
    return await open_session(person, people, "external")


async def _person_behind(command: FinishExternal, use: ExternalDependencies) -> PersonRow:
    provider, people = _provider(use), use.people
    login = await use.table.take(people.verifier.of(command.state))
    if login is None or people.clock() >= login.expires_at or not people.verifier.fits(command.ticket, login.ticket):
        raise refused()
    if command.iss not in ("", provider.provider.issuer) or not command.code:
        raise refused()
    identity = await _vouched(provider, command.code, login, use)
    return await person_behind(identity, use)


async def _vouched(provider: IdentityProvider, code: str, login: PendingLogin, use: ExternalDependencies) -> Identity:
    claims = await provider.redeem(code, login.verifier)
    named = provider.provider
    now = use.people.clock().timestamp()
    return identity_of(claims, named.issuer, named.client_id, login.nonce, use.groups_claim, now)


def _provider(use: ExternalDependencies) -> IdentityProvider:
    if use.provider is None:
        raise Problem("login.unavailable", "this installation has no identity provider")
    return use.provider
