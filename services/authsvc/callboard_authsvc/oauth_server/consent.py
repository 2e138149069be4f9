"""What a person is asked, and what comes of the answer. Every request of a client is asked anew."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

import structlog

from callboard.contracts.access import Principal
from callboard.contracts.access_events import ConsentRefused
from callboard.contracts.layers import SYSTEM
from callboard.contracts.oauth_server import (
    AskConsent,
    Consent,
    ConsentDecided,
    GiveConsent,
    RefuseConsent,
    ScopeInWords,
)
from callboard.contracts.problems import Problem
from callboard.kernel.permissions import can
from callboard.kernel.tokens import CODE_PREFIX, base62, compose
from callboard.platform.event_store import Connection, new_id
from callboard_authsvc.journal import Noted
from callboard_authsvc.oauth_server.client import Client
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.oauth_server.domain import (
    CODE_LIFE,
    GRANT,
    WORDS,
    Give,
    Grant,
    GrantEvent,
    NoteGrant,
    Place,
    Request,
    answer_url,
    next_random,
    place_of,
    stream_of,
    unknown_consent,
    warnings_of,
)
from callboard_authsvc.oauth_server.find_client import client_of
from callboard_authsvc.people.session_keys import session_key

log = structlog.get_logger()
_NOTE_SECONDS: Final = 3.0
"""How long a person who refused waits until that is written down: the answer is given already."""


async def ask_consent(question: AskConsent, use: OAuthDependencies) -> Consent:
    """Raises `consent.unknown`, `playbook.unknown`, `auth.invalid`, or `oauth.refused` for a client that is gone."""
    principal, request = await _shown(question.request, question.by, use)
    client = await client_of(request.client_id, use, stale=True)
    place = place_of(use.issuer, request.resource)
    choices = _organisations(principal, place)
    if place.playbook:
        await _require_use(principal, place.organisation, place.playbook, use)
    elif place.union and not choices:
        raise _unknown_playbook()
    organisation = place.organisation or (choices[0] if len(choices) == 1 else "")
    return Consent(
        client_id=client.client_id,
        client_name=client.name,
        client_kind=client.kind,
        client_host=urlsplit(client.client_id).netloc if client.kind == "document" else "",
        redirect_host=urlsplit(request.redirect_uri).netloc,
        redirect_uri=request.redirect_uri,
        scopes=tuple(ScopeInWords(scope=scope, words=WORDS[scope]) for scope in request.scopes),
        organisation=organisation,
        playbook=place.playbook,
        union=place.union,
        organisations=choices if len(choices) > 1 else (),
        warnings=warnings_of(client.kind, request, place),
        consented_at=await use.grants.consented_at(client.client_id, principal.member, organisation, place.playbook),
        expires_at=request.expires_at,
    )


async def give_consent(command: GiveConsent, use: OAuthDependencies) -> ConsentDecided:
    """A grant, a code, and the event, in one transaction. Raises as `ask_consent` does.

    A button that is pressed twice gives one grant and one code: a browser drops the first answer and follows the other.
    """
    try:
        return await _given(command, use)
    except Problem as problem:
        if problem.code != "consent.unknown":
            raise
        again = await _given_before(command, use)
        if again is None:
            raise
        return again


async def _given_before(command: GiveConsent, use: OAuthDependencies) -> ConsentDecided | None:
    """The same answer to the same session, as long as nobody has used the code."""
    request = await use.requests.decided(command.request, command.by, use.clock())
    code = _code_of(command.request, use)
    held = await use.grants.code(use.verifier.of(code)) if request is not None else None
    if request is None or held is None or use.clock() >= held.expires_at:
        return None
    if held.spent_at is not None or held.grant.revoked_at is not None:
        return None
    return ConsentDecided(url=answer_url(request, use.issuer, code=code))


def _code_of(request_id: str, use: OAuthDependencies) -> str:
    """It follows from the request, so that the answer to a second press of the button is that to the first."""
    return compose(next_random(use.lineage, f"code of {request_id}"), CODE_PREFIX)


async def _given(command: GiveConsent, use: OAuthDependencies) -> ConsentDecided:
    principal, request = await _shown(command.request, command.by, use)
    client = await client_of(request.client_id, use, stale=True)
    place = place_of(use.issuer, request.resource)
    grant = _grant(client, request, place, principal, await _organisation(command, principal, place, use), use)
    code, now = _code_of(command.request, use), use.clock()

    async def decide(connection: Connection, events: tuple[GrantEvent, ...] = ()) -> None:
        if await use.requests.decide(connection, command.request, command.by, now) is None:
            raise unknown_consent()
        await use.grants.insert(connection, grant)
        await use.grants.insert_code(connection, use.verifier.of(code), grant.gid, request, now + CODE_LIFE)
        await use.clients.used(connection, client.client_id, now)

    if grant.organisation:
        actor = f"{principal.client}/{principal.key_id}"
        note = NoteGrant(command_id=new_id(), organisation=grant.organisation, grant=grant.gid, actor=actor)
        await use.journal.record(note, stream_of(grant.gid), GRANT, Give(grant=grant), decide)
    else:
        # For no resource, so in no organisation: there is no log that it belongs to.
        async with use.grants.pool.acquire() as connection, connection.transaction():
            await decide(connection)
    return ConsentDecided(url=answer_url(request, use.issuer, code=code))


async def refuse_consent(command: RefuseConsent, use: OAuthDependencies) -> ConsentDecided:
    """Raises `consent.unknown`, `auth.invalid`. Also for a person who may not use what was asked for."""
    principal, _ = await _shown(command.request, command.by, use)
    request = await use.requests.refuse(command.request, command.by, use.clock())
    if request is None:
        raise unknown_consent()
    try:
        await asyncio.wait_for(_note_refusal(request, principal, use), _NOTE_SECONDS)
    except Exception as error:
        # The request is spent: the client must hear of it, whatever else fails.
        log.error("consent_refusal_not_noted", error=type(error).__name__, exc_info=error)
    return ConsentDecided(url=answer_url(request, use.issuer, error="access_denied"))


async def _note_refusal(request: Request, principal: Principal, use: OAuthDependencies) -> None:
    """In the log of the organisation that was asked about, if the person belongs to it; anybody can name another.

    Then it is in that of the installation, without what the client calls itself: nobody writes there what they like.
    """
    client = await use.clients.find(request.client_id)
    place = place_of(use.issuer, request.resource)
    choices = (place.organisation,) if place.playbook else _organisations(principal, place)
    own = [name for name in choices if principal.grants is not None and name in principal.grants]
    event = ConsentRefused(
        member=principal.member,
        client_id=request.client_id,
        client_name=client.name if client is not None and len(own) == 1 else "",
        playbook=place.playbook if own else "",
        scopes=request.scopes,
    )
    actor = f"{principal.client}/{principal.key_id}"
    noted = Noted(command_id=new_id(), organisation=own[0] if len(own) == 1 else SYSTEM, actor=actor)
    await use.journal.note(noted, event)


async def _shown(request_id: str, by: str, use: OAuthDependencies) -> tuple[Principal, Request]:
    """The person, and the request, which belongs to this session or to none yet."""
    principal = await use.rights.of(by)
    if principal is None or session_key(by) is None:
        raise Problem("auth.forbidden", "only a person who is signed in with a browser can agree")
    request = await use.requests.show(request_id, by, use.clock())
    if request is None:
        raise unknown_consent()
    return principal, request


def _organisations(principal: Principal, place: Place) -> tuple[str, ...]:
    """Where a union could be: the organisations in which the person may use playbooks."""
    if not place.union or principal.grants is None:
        return ()
    return tuple(name for name in sorted(principal.grants) if can(principal, "use", name))


async def _organisation(command: GiveConsent, principal: Principal, place: Place, use: OAuthDependencies) -> str:
    if place.playbook:
        await _require_use(principal, place.organisation, place.playbook, use)
        return place.organisation
    choices = _organisations(principal, place)
    if not place.union:
        return ""
    chosen = command.organisation or (choices[0] if len(choices) == 1 else "")
    if not choices:
        raise _unknown_playbook()
    if chosen not in choices:
        raise Problem("argument.invalid", "organisation: choose one of yours", argument="organisation")
    return chosen


async def _require_use(principal: Principal, organisation: str, playbook: str, use: OAuthDependencies) -> None:
    """Raise `playbook.unknown`, with one message, unless there is such a playbook and the person may use it."""
    if not can(principal, "use", organisation, playbook) or not await use.playbooks.exists(organisation, playbook):
        raise _unknown_playbook()


def _unknown_playbook() -> Problem:
    return Problem("playbook.unknown", "there is no such playbook, or you may not use it")


def _grant(
    client: Client, request: Request, place: Place, principal: Principal, organisation: str, use: OAuthDependencies
) -> Grant:
    return Grant(
        gid=new_gid(use),
        organisation=organisation,
        member=principal.member,
        client_id=client.client_id,
        client_name=client.name,
        means="consent",
        playbook=place.playbook,
        resource=place.resource,
        scopes=request.scopes,
        created_at=use.clock(),
    )


def new_gid(use: OAuthDependencies) -> str:
    """An id that no token and no session can have."""
    return f"grant-{base62(use.chance(16), 22)}"
