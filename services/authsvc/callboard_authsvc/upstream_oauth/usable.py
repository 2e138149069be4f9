"""An access token that a connector can use now; or who has to do what so that there is one."""

from __future__ import annotations

import msgspec

from callboard.contracts.definitions import UpstreamOAuth
from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import AskUpstreamToken, UpstreamToken
from callboard_authsvc.upstream_oauth.begin import definition_of
from callboard_authsvc.upstream_oauth.discover import discover
from callboard_authsvc.upstream_oauth.domain import Challenge, Whose, challenge_of
from callboard_authsvc.upstream_oauth.obtain import obtain
from callboard_authsvc.upstream_oauth.ports import Held, SignInDependencies
from callboard_authsvc.upstream_oauth.renew import renewed


async def usable_token(question: AskUpstreamToken, use: SignInDependencies) -> UpstreamToken:
    """Raises `server.sign_in_needed` (with a link where somebody can follow it), `server.sign_in_failed`."""
    whose = Whose(question.organisation, question.server, question.subject)
    if await use.servers.definition(whose.organisation, whose.server) is None:
        return _before_it_is_registered(question)
    definition, oauth = await definition_of(whose, use)
    held = await use.grants.find(whose)
    if held is not None and held.grant.url != definition.url:
        held = None  # the tokens are for another server than the one that has this name now
    challenge = challenge_of(question.status, question.challenge)
    asked = _Asked(whose, definition.url or "", oauth, challenge, question.attended)
    if held is None:
        return await _first(asked, use)
    if not question.status or (held.version != question.refused and not held.lost):
        return await _current(asked, held, use)
    return await _instead(asked, held, use)


def _before_it_is_registered(question: AskUpstreamToken) -> UpstreamToken:
    """A server is looked at before it is there for good: without a token, and then nobody can sign in yet."""
    if question.status:
        raise _unattended(question.server)
    return UpstreamToken()


class _Asked(msgspec.Struct, frozen=True):
    """One question, taken apart."""

    whose: Whose
    url: str
    oauth: UpstreamOAuth
    challenge: Challenge
    attended: bool

    @property
    def by_itself(self) -> bool:
        """Whether nobody has to consent."""
        return self.oauth.grant != "authorization_code"


async def _first(asked: _Asked, use: SignInDependencies) -> UpstreamToken:
    """Nothing is held. Without a challenge the server has not been tried yet, and it may want nothing."""
    if not asked.challenge.status:
        return UpstreamToken()
    if asked.by_itself:
        return await _obtained(asked, None, use)
    raise await _needed(asked, use)


async def _current(asked: _Asked, held: Held, use: SignInDependencies) -> UpstreamToken:
    """What is held, renewed when its time is over."""
    if held.lost:
        raise await _needed(asked, use)
    grant, now = held.grant, use.clock()
    if not grant.expires_at or now < grant.renew_at:
        return _token(held)
    if asked.by_itself:
        return await _obtained(asked, held, use)
    if held.grant.refresh_token:
        return await _renewed(asked, held, use)
    if now < grant.expires_at:
        return _token(held)
    raise await _needed(asked, use)


async def _instead(asked: _Asked, held: Held, use: SignInDependencies) -> UpstreamToken:
    """The server refused the very token that is held: a new one by itself, else a person has to consent."""
    if asked.by_itself:
        return await _obtained(asked, held, use)
    if asked.challenge.status == 401 and held.grant.refresh_token and not held.lost:
        found = await discover(asked.url, asked.challenge, asked.oauth, use.fetch)
        if found.server.issuer == held.grant.found.server.issuer:
            return await _renewed(asked, held, use)
    raise await _needed(asked, use)


async def _renewed(asked: _Asked, held: Held, use: SignInDependencies) -> UpstreamToken:
    newer = await renewed(asked.whose, held, asked.oauth, use)
    if newer.lost:
        raise await _needed(asked, use)
    return _token(newer)


async def _obtained(asked: _Asked, held: Held | None, use: SignInDependencies) -> UpstreamToken:
    before = "" if held is None else held.grant.requested
    grant = await obtain(asked.whose, asked.url, asked.oauth, asked.challenge, before, use)
    version = await use.grants.keep(asked.whose, grant, over=None)
    return _token(Held(grant, version or 0))


def _token(held: Held) -> UpstreamToken:
    return UpstreamToken(token=held.grant.access_token, renew_at=held.grant.renew_at, version=held.version)


async def _needed(asked: _Asked, use: SignInDependencies) -> Problem:
    """Somebody has to sign in. A caller gets a link; where nobody is there to follow it, none is made."""
    server = asked.whose.server
    if not asked.attended:
        return _unattended(server)
    handle = await use.sign_ins.open(asked.whose, asked.challenge)
    url = f"{use.here.connect}/{handle}"
    words = f"sign in to server {server!r} first: open {url} in a browser, then try again"
    return Problem("server.sign_in_needed", words, server=server, url=url)


def _unattended(server: str) -> Problem:
    words = f"nobody has signed in to server {server!r} yet, or the sign-in has ended"
    return Problem("server.sign_in_needed", words, server=server)
