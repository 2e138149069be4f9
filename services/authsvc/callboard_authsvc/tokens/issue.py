"""Issue a client token: the event and the verifier's row in one transaction, the value in the answer only."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from callboard.contracts.access import IssueToken, TokenIssued
from callboard.contracts.access_events import ClientTokenIssued
from callboard.contracts.problems import Problem
from callboard.kernel.personal import person_of
from callboard.kernel.tokens import compose, key_id_of
from callboard.platform.event_store import Connection
from callboard_authsvc.adapters.person_key_table import PersonKeyRow
from callboard_authsvc.adapters.token_table import TokenRow
from callboard_authsvc.erasure.domain import unknown
from callboard_authsvc.journal import Outcome
from callboard_authsvc.tokens.dependencies import TokenDependencies
from callboard_authsvc.tokens.domain import CLIENT, Issue, TokenEvent, check, stream_of
from callboard_authsvc.tokens.hold import member_behind

_RANDOM_BYTES = 40


async def issue_token(command: IssueToken, use: TokenDependencies) -> TokenIssued:
    """Raises `organisation.unknown`, `argument.invalid`, `auth.forbidden`; `command.reused` for a second delivery."""
    await use.organisations.require(command.organisation)
    check(command.client, command.scopes, command.playbooks, command.expires_in_seconds)
    if person_of(command.client) is not None:
        raise Problem("argument.invalid", "client: name the client; it is sealed here", argument="client")
    member = await member_behind(command.by, command.organisation, command.client, command.scopes, use)
    person = await _person(command, use)
    # From here on the name stands nowhere but in the answer: not in the log, nor in the hash of the command.
    recorded = command if person is None else replace(command, client=person.name)
    seconds = command.expires_in_seconds
    token, key_id = new_token(use)
    order = Issue(
        client=recorded.client,
        key_id=key_id,
        scopes=command.scopes,
        playbooks=command.playbooks,
        expires_at=None if seconds is None else use.clock() + timedelta(seconds=seconds),
        member=member,
    )
    row = row_of(order, command.organisation, token, use)

    async def insert(connection: Connection, events: tuple[TokenEvent, ...]) -> None:
        if row.person is not None and not await use.persons.table.hold(connection, row.organisation, row.person):
            raise unknown(row.person)
        await use.table.insert(connection, row)

    outcome = await use.journal.record(recorded, stream_of(order.client), CLIENT, order, insert)
    if outcome.replayed:
        raise shown_before(outcome)
    return replace(answer_of(order, token), client=command.client)


def new_token(use: TokenDependencies) -> tuple[str, str]:
    """A value and its key id."""
    token = compose(use.chance(_RANDOM_BYTES))
    key_id = key_id_of(token)
    assert key_id is not None, "a composed token has its form"
    return token, key_id


def row_of(order: Issue, organisation: str, token: str, use: TokenDependencies) -> TokenRow:
    """What the table holds of a new token."""
    return TokenRow(
        key_id=order.key_id,
        organisation=organisation,
        client=order.client,
        verifier=use.verifier.of(token),
        scopes=order.scopes,
        playbooks=order.playbooks,
        created_at=use.clock(),
        expires_at=order.expires_at,
        member=order.member,
        person=person_of(order.client),
    )


def answer_of(order: Issue, token: str) -> TokenIssued:
    """The only message with the value in it."""
    return TokenIssued(
        token=token,
        key_id=order.key_id,
        client=order.client,
        scopes=order.scopes,
        playbooks=order.playbooks,
        expires_at=order.expires_at,
    )


async def _person(command: IssueToken, use: TokenDependencies) -> PersonKeyRow | None:
    """Whose name the client has; one that was given as a person's stays one."""
    known = use.persons.ensured if command.person else use.persons.find
    found = await known(command.organisation, command.client)
    if found is not None and found.erased_at is not None:
        raise unknown(command.client)
    return found


def shown_before(outcome: Outcome) -> Problem:
    """The refusal of a second delivery, whose answer would hold a value that nobody has any more."""
    issued = [event.key_id for event in outcome.events if isinstance(event, ClientTokenIssued)]
    return Problem(
        "command.reused",
        f"this command already issued token {issued[0]}, and a value is shown only once; "
        "revoke that token and issue another one with a new command id",
        key_id=issued[0],
    )
