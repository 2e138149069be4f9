"""T24: whatever gives or takes a right leaves an event that names who did it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

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
    ChangeRole,
    CreateServiceAccount,
    Invitation,
    InviteMember,
    RemoveMember,
    WithdrawInvitation,
)
from callboard.contracts.plans import ChoosePlan
from callboard.contracts.playbooks import Done
from callboard.contracts.vault import RotateDataKey, ShredVault
from callboard.contracts.webhooks import DeleteWebhook, RegisterWebhook, RotateWebhookSecret, WebhookSecret
from callboard_authsvc import journal
from tests.authsvc.stack import Edge, Stack, new_id
from tests.support.backends import nats_server
from tests.webhooks.sender import QUICK

ACTOR = "mallory/k1"


@pytest_asyncio.fixture
async def stack(tmp_path: Path, dsn: str) -> AsyncIterator[Stack]:
    with nats_server(tmp_path) as nats:
        running = Stack(tmp_path, nats, dsn)
        try:
            yield running
        finally:
            await running.close()


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
