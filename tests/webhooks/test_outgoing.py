"""Webhooks as a receiver sees them: signed, in order, at least once, and nowhere they must not go."""

from __future__ import annotations

import asyncio

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from callboard.contracts.webhook_events import (
    WebhookDisabled,
    WebhookPaused,
    WebhookRegistered,
    WebhookResumed,
)
from callboard_authsvc.webhooks import attempt, sending
from callboard_authsvc.webhooks.domain import WEBHOOK, Disable, Register, Replay, Rotate, Switch, pause_before
from tests.authsvc.given import Given
from tests.authsvc.stack import Stack, new_id, refused
from tests.support.waiting import eventually
from tests.webhooks.receiver import Came, Receiver, receiving
from tests.webhooks.sender import QUICK, Administrator, administrator, verify

REGISTERED = WebhookRegistered(webhook="hook", url="https://h/x", kinds=("*",))


async def test_a_receiver_gets_signed_events_of_its_kinds_in_order_and_nothing_of_before(
    stack: Stack, receiver: Receiver
) -> None:
    admin = await administrator(stack)
    await admin.happens("earlier")
    secret = await admin.register(receiver.url, ("project.*",))
    numbers = [await admin.happens(f"p{i}") for i in range(5)]
    await admin.issue()  # of another kind
    await eventually(lambda: len(receiver.came) == 5)
    assert [came.id for came in receiver.came] == [f"acme:{seq}" for seq in numbers]
    for came in receiver.came:
        verify(secret, came)
        with pytest.raises(WebhookVerificationError):
            verify(secret, Came(came.headers, came.body.replace(b"project", b"Project")))
    message = receiver.came[0].message
    assert message.type == "project.created"
    assert message.data is not None
    assert (message.data.organisation, message.data.seq) == ("acme", numbers[0])
    await eventually(lambda: _at(admin, numbers[-1]))
    assert {(d.status, d.problem) for d in await admin.deliveries()} == {(204, "")}


async def _at(admin: Administrator, seq: int) -> bool:
    return (await admin.line()).position >= seq


async def test_what_a_receiver_refuses_is_sent_again_until_it_takes_it_and_nothing_overtakes(
    stack: Stack, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 500, an answer that never comes, and a redirect to where no request of ours may go."""
    monkeypatch.setattr(attempt, "SECONDS", 0.3)
    async with receiving() as inside:
        redirect = f"307 Temporary Redirect\r\nLocation: {inside.url}"
        receiver.answers += ["500 No", "0", redirect, "429 Wait\r\nRetry-After: 0"]
        admin = await administrator(stack)
        await admin.register(receiver.url, ("project.*",))
        first = await admin.happens("a")
        second = await admin.happens("b")
        await eventually(lambda: len(receiver.came) == 6)
        assert [came.id for came in receiver.came] == [f"acme:{first}"] * 5 + [f"acme:{second}"]
        assert inside.came == []
    told = [(d.attempt, d.status, d.problem) for d in await admin.deliveries()][::-1]
    assert told[:4] == [
        (1, 500, "answered 500"),
        (2, 0, "did not answer in time"),
        (3, 307, "answered 307, and redirects are not followed"),
        (4, 429, "answered 429"),
    ]
    assert len({came.body for came in receiver.came[:5]}) == 1


async def test_an_address_that_is_not_public_is_refused_when_it_is_registered_and_when_it_is_sent_to(
    stack: Stack, receiver: Receiver
) -> None:
    admin = await administrator(stack)
    for url in ("http://169.254.169.254/latest", "http://10.0.0.1/x", "https://[::1]/x"):
        problem = await refused("argument.invalid", admin.register(url))
        assert "not public" in problem.message
    await admin.register(receiver.url)
    [room] = stack.rooms
    await stack.stop(room)
    await stack.authsvc(**{**QUICK, "private_upstreams": ""})  # what was allowed is not any more
    delivery = await admin.test()
    assert "not public" in delivery.problem
    assert receiver.came == []


async def test_a_restart_loses_nothing_and_the_log_is_where_it_goes_on(stack: Stack, receiver: Receiver) -> None:
    receiver.answers += ["503 Later"] * 3
    admin = await administrator(stack)
    await admin.register(receiver.url, ("project.*",))
    numbers = [await admin.happens(f"p{i}") for i in range(20)]
    await eventually(lambda: len(receiver.came) >= 5)
    [room] = stack.rooms
    await stack.stop(room)
    await stack.authsvc(**QUICK)
    numbers += [await admin.happens("after")]
    wanted = [f"acme:{seq}" for seq in numbers]
    # A process that ends holds its lease to the end of it, as one that died does.
    await stack.rows("update cb.webhook set lease_until = '-infinity'")
    await eventually(lambda: list(dict.fromkeys(came.id for came in receiver.came)) == wanted)


async def test_two_instances_send_everything_once(stack: Stack, receiver: Receiver) -> None:
    admin = await administrator(stack)
    await stack.authsvc(**QUICK)
    await admin.register(receiver.url, ("project.*",))
    numbers = await asyncio.gather(*(admin.happens(f"p{i}") for i in range(40)))
    await eventually(lambda: len(receiver.came) >= 40)
    await eventually(lambda: _at(admin, max(numbers)))
    assert [came.id for came in receiver.came] == [f"acme:{seq}" for seq in sorted(numbers)]


async def test_without_the_lease_two_instances_send_the_same(
    stack: Stack, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above would miss if the lease did nothing."""
    monkeypatch.setattr(sending, "LEASE_SECONDS", -1.0)
    admin = await administrator(stack)
    await stack.authsvc(**QUICK)
    receiver.answers += ["0"]
    await admin.register(receiver.url, ("project.*",))
    seq = await admin.happens("p")
    await eventually(lambda: [came.id for came in receiver.came].count(f"acme:{seq}") > 1)


async def test_both_secrets_sign_during_a_rotation_and_only_the_new_one_after_it(
    stack: Stack, receiver: Receiver
) -> None:
    admin = await administrator(stack)
    old = await admin.register(receiver.url)
    new = await admin.rotate(3600)
    assert (await admin.test()).problem == ""
    came = receiver.last("webhook.test")
    verify(old, came)
    verify(new, came)
    newest = await admin.rotate(0)
    await admin.test()
    verify(newest, receiver.last("webhook.test"))
    for gone in (old, new):
        with pytest.raises(WebhookVerificationError):
            verify(gone, receiver.last("webhook.test"))
    stored = await stack.everything_stored()
    assert not [secret for secret in (old, new, newest) if secret.removeprefix("whsec_") in stored]


async def test_who_does_not_answer_for_too_long_is_given_up_until_somebody_resumes(
    stack: Stack, receiver: Receiver
) -> None:
    room = await stack.authsvc(**QUICK, webhook_give_up_seconds=0.2)
    admin = Administrator(await stack.bus_of("edge"))
    await admin.create("acme")
    receiver.answers += ["500 No"] * 100
    await admin.register(receiver.url, ("project.*",))
    seq = await admin.happens("p")
    await eventually(lambda: _in(admin, "disabled"))
    assert "webhook.disabled" in await stack.events("acme")
    await eventually(lambda: "given up: 1" in room.status().problem)
    assert "acme" not in room.status().problem
    receiver.answers.clear()
    receiver.came.clear()
    await admin.switch(on=True)
    await eventually(lambda: [came.id for came in receiver.came] == [f"acme:{seq}"])
    assert (await admin.line()).state == "on"


async def _in(admin: Administrator, state: str) -> bool:
    return (await admin.line()).state == state


async def test_a_receiver_that_is_gone_for_good_is_given_up_at_once(stack: Stack, receiver: Receiver) -> None:
    admin = await administrator(stack)
    receiver.answers += ["410 Gone"]
    await admin.register(receiver.url, ("project.*",))
    await admin.happens("p")
    await eventually(lambda: _in(admin, "disabled"))


async def test_what_happens_during_a_pause_comes_after_it_and_a_range_can_be_had_again(
    stack: Stack, receiver: Receiver
) -> None:
    admin = await administrator(stack)
    await admin.register(receiver.url, ("project.*",))
    await admin.switch(on=False)
    numbers = [await admin.happens(f"p{i}") for i in range(3)]
    assert (await admin.line()).state == "paused"
    assert receiver.came == []
    await admin.switch(on=True)
    ids = [f"acme:{seq}" for seq in numbers]
    await eventually(lambda: [came.id for came in receiver.came] == ids)
    await admin.replay(1, numbers[1])
    await eventually(lambda: [came.id for came in receiver.came] == ids + ids[:2])
    assert receiver.came[0].body == receiver.came[3].body
    await admin.delete()
    await admin.happens("never")
    await refused("webhook.unknown", admin.test())
    assert await stack.rows("select 1 from cb.secret") == []
    assert len(receiver.came) == 5


async def test_an_organisation_s_events_go_to_its_own_receivers_only(stack: Stack, receiver: Receiver) -> None:
    admin = await administrator(stack)
    await admin.create("other")
    await admin.register(receiver.url)
    await admin.happens("theirs", "other")
    ours = await admin.happens("ours")
    await eventually(lambda: [came.id for came in receiver.came] == [f"acme:{ours}"])


async def test_an_organisation_whose_receivers_hang_keeps_no_slot_from_others(
    stack: Stack, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_AT_ONCE", 5)
    receiver.answers += ["0"] * 50
    admin = await administrator(stack)
    await admin.create("other")
    for number in range(6):
        await admin.register(receiver.url, ("project.*",), f"hook-{number}")
    await admin.happens("ours")
    await eventually(lambda: len(receiver.came) >= 4)
    async with receiving() as theirs:
        await admin.register(theirs.url, ("project.*",), organisation="other")
        seq = await admin.happens("theirs", "other")
        await eventually(lambda: [came.id for came in theirs.came] == [f"other:{seq}"])
    assert len(receiver.came) == 4


async def test_after_a_turn_whoever_waits_comes_first(
    stack: Stack, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_AT_ONCE", 1)
    monkeypatch.setattr(sending, "_TURN", 2)
    admin = await administrator(stack)
    await admin.create("other")
    for organisation in ("acme", "other"):
        await admin.register(receiver.url, ("project.*",), organisation=organisation)
    await stack.rows("update cb.webhook set state = 'paused'")
    ours = [f"acme:{await admin.happens(f'p{number}')}" for number in range(6)]
    theirs = f"other:{await admin.happens('p', 'other')}"
    resumed = "case organisation when 'acme' then '-infinity' else now() end"
    await stack.rows(f"update cb.webhook set state = 'on', next_attempt_at = {resumed}")
    await eventually(lambda: len(receiver.came) == 7)
    assert [came.id for came in receiver.came] == [*ours[:2], theirs, *ours[2:]]


async def test_a_second_delivery_of_a_registration_shows_no_secret(stack: Stack, receiver: Receiver) -> None:
    admin = await administrator(stack)
    id = new_id()
    await admin.register(receiver.url, id=id)
    await refused("command.reused", admin.register(receiver.url, id=id))
    await refused("webhook.exists", admin.register(receiver.url))


@pytest.mark.parametrize(
    "url",
    ["ftp://h/x", "https://u:p@h/x", "https://u@h/x", "https://h/x#f", "https:///x", "https://h/ x", "x", "http://[/"],
)
def test_a_url_that_cannot_be_one_is_refused(url: str) -> None:
    Given(WEBHOOK).when(Register(webhook="hook", url=url, kinds=("*",))).then_refused("argument.invalid")


def test_the_decider_of_a_webhook() -> None:
    on = Given(WEBHOOK, REGISTERED)
    on.when(Switch(webhook="hook", on=True)).then_nothing()
    on.when(Switch(webhook="hook", on=False)).then(WebhookPaused(webhook="hook"))
    on.when(Replay(webhook="hook", first=2, last=1)).then_refused("argument.invalid")
    on.when(Replay(webhook="hook", first=1, last=2**63)).then_refused("argument.invalid")
    off = Given(WEBHOOK, REGISTERED, WebhookDisabled(webhook="hook", seq=3, reason="r"))
    off.when(Disable(webhook="hook", seq=4, reason="r")).then_nothing()
    off.when(Switch(webhook="hook", on=False)).then_nothing()
    off.when(Switch(webhook="hook", on=True)).then(WebhookResumed(webhook="hook"))
    Given(WEBHOOK).when(Rotate(webhook="hook")).then_refused("webhook.unknown")


def test_pauses_double_up_to_an_hour_and_follow_what_the_receiver_asks() -> None:
    assert [pause_before(n, 5, "", 0) for n in (1, 2, 3, 50)] == [5, 10, 20, 3600]
    assert pause_before(1, 5, "", 1) == 6
    assert pause_before(1, 5, "120", 0) == 120
    assert pause_before(1, 5, "99999999", 0) == pause_before(1, 5, "soon", 0) == 5
