"""T24: whatever gives or takes a right leaves an event that names who did it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from callboard.contracts import subjects, webhook_subjects
from callboard.contracts.access import (
    CreateOrganisation,
    DestroySecret,
    IssueToken,
    RevokeToken,
    RotateToken,
    StoreSecret,
    TokenIssued,
)
from callboard.contracts.people import (
    ChangePassword,
    ChangeRole,
    CreateServiceAccount,
    Invitation,
    InviteMember,
    RemoveMember,
    SessionOpened,
    WithdrawInvitation,
)
from callboard.contracts.plans import ChoosePlan
from callboard.contracts.playbooks import Done
from callboard.contracts.refusals import NOTE_REFUSALS, NoteRefusals, RefusedCallers
from callboard.contracts.vault import RotateDataKey, ShredVault
from callboard.contracts.webhooks import DeleteWebhook, RegisterWebhook, RotateWebhookSecret, WebhookSecret
from callboard_authsvc import journal
from callboard_authsvc.oauth_server import consent
from callboard_authsvc.people import password, sessions
from callboard_authsvc.refusals import note
from callboard_authsvc.refusals.write import RefusalsWriter
from tests.authsvc.oauth_desk import desk_of
from tests.authsvc.people import PASSWORD
from tests.authsvc.stack import Edge, Stack, SteppingClock, new_id, refused
from tests.webhooks.sender import QUICK

ACTOR = "mallory/k1"


async def a_nothing(*given: object) -> None:
    """In the place of what writes it down."""


def nothing(*given: object) -> None:
    """In the place of what counts it."""


async def done(*given: object) -> Done:
    """In the place of what writes down what an edge tells."""
    return Done(seq=0)


async def give_and_take(stack: Stack) -> int:
    """All of it; how many commands there were."""
    await stack.authsvc(**QUICK)
    edge, count = Edge(await stack.bus_of("edge")), 0

    async def order(subject: str, kind: type, answer: Any = Done, **more: Any) -> Any:
        nonlocal count
        count += 1
        command = kind(command_id=new_id(), organisation="acme", actor=ACTOR, **more)
        return await edge.bus.ask(subject, command, answer)

    await order(subjects.CREATE_ORGANISATION, CreateOrganisation)
    first = await order(subjects.ISSUE_TOKEN, IssueToken, TokenIssued, client="c")
    second = await order(subjects.ROTATE_TOKEN, RotateToken, TokenIssued, key_id=first.key_id, overlap_seconds=60)
    await order(subjects.REVOKE_TOKEN, RevokeToken, key_id=second.key_id)
    await order(subjects.CREATE_SERVICE_ACCOUNT, CreateServiceAccount, account="ci", role="viewer")
    await order(subjects.CHANGE_ROLE, ChangeRole, member="ci", role="manager")
    link = await order(subjects.INVITE_MEMBER, InviteMember, Invitation, role="viewer")
    await order(subjects.WITHDRAW_INVITATION, WithdrawInvitation, invitation=link.invitation)
    await order(subjects.REMOVE_MEMBER, RemoveMember, member="ci")
    await order(subjects.STORE_SECRET, StoreSecret, secret="s", value="v")
    await order(subjects.DESTROY_SECRET, DestroySecret, secret="s")
    await order(subjects.CHOOSE_PLAN, ChoosePlan, plan="team")
    where = {"webhook": "w", "url": "http://127.0.0.1:9/"}
    await order(webhook_subjects.REGISTER, RegisterWebhook, WebhookSecret, **where)
    await order(webhook_subjects.ROTATE, RotateWebhookSecret, WebhookSecret, webhook="w", overlap_seconds=0)
    await order(webhook_subjects.DELETE, DeleteWebhook, webhook="w")
    await order(subjects.ROTATE_DATA_KEY, RotateDataKey)
    await order(subjects.SHRED_VAULT, ShredVault, comment="over")
    return count


async def test_every_grant_and_its_end_is_in_the_log_with_who_did_it(stack: Stack) -> None:
    count = await give_and_take(stack)
    query = "select distinct command_id, meta::jsonb ->> 'actor' as actor from cb.event where organisation = 'acme'"
    assert [row["actor"] for row in await stack.rows(query)] == [ACTOR] * count


async def test_a_grant_that_left_no_event_would_be_seen(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(log: journal.Journal, command: Any) -> Any:
        return journal.EventMeta(actor="", producer="")

    monkeypatch.setattr(journal.Journal, "_meta", forgetful)
    with pytest.raises(AssertionError):
        await test_every_grant_and_its_end_is_in_the_log_with_who_did_it(stack)


WITHOUT = (
    (sessions, "note_of", a_nothing),
    (password, "note_of", a_nothing),
    (consent, "_note_refusal", a_nothing),
    (note.Refusals, "add", nothing),
    (RefusalsWriter, "note", done),
)
"""Each control, and what stands in its place."""


async def come_and_be_refused(stack: Stack) -> dict[str, int]:
    """Whoever comes in by whatever way, or does not; how many events of each type the log of `acme` has then."""
    desk = await desk_of(stack, SteppingClock(), **QUICK)
    office = desk.office
    ann = await office.join("ann", "user")
    await refused("login.refused", office.sign_in("ann@example.com", "wrong password"))
    wanted = ChangePassword(session=ann.session, current=PASSWORD, password="another long password")
    ann = await desk.bus.ask(subjects.CHANGE_PASSWORD, wanted, SessionOpened)
    await stack.rooms[0]._refusals.flush()  # type: ignore[union-attr]
    request = await desk.request(await desk.register())
    await desk.consent(request, ann)
    await desk.refuse(request, ann)
    lines = (RefusedCallers(door="mcp", reason="auth.invalid", count=1, organisation="acme"),)
    now = datetime.now(UTC)
    await desk.bus.ask(NOTE_REFUSALS, NoteRefusals(command_id=new_id(), since=now, until=now, lines=lines), Done)
    rows = await stack.rows("select type, count(*) as n from cb.event where organisation = 'acme' group by type")
    return {row["type"]: row["n"] for row in rows}


EXPECTED = {
    "person.signed_in": 1,
    "person.password_set": 1,
    "grant.consent_refused": 1,
    "authentication.refused": 2,
}


async def test_whoever_comes_in_or_is_refused_is_in_the_log(stack: Stack) -> None:
    found = await come_and_be_refused(stack)
    assert {kind: found.get(kind, 0) for kind in EXPECTED} == EXPECTED


async def test_a_way_in_that_left_no_event_would_be_seen(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name, instead in WITHOUT:
        monkeypatch.setattr(place, name, instead)
    found = await come_and_be_refused(stack)
    assert found.keys() & EXPECTED.keys() == set()
    assert "grant.consent_given" not in found
    assert found["member.joined"] == 1
