"""Signing in and out, over the bus, with the permissions of an edge."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from callboard.contracts import subjects
from callboard.contracts.people import (
    AskSession,
    ChangePassword,
    OfferReset,
    RenewSession,
    ResetOffered,
    ResetPassword,
    SessionOpened,
    SignOut,
)
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.kernel.permissions import can
from callboard.kernel.tokens import SESSION_PREFIX, compose
from callboard.platform.settings import Sensitive, SettingsRefused, load
from callboard_authsvc.people.domain import ATTEMPTS_PER_ACCOUNT
from callboard_authsvc.settings import AuthsvcSettings
from tests.authsvc.people import PASSWORD, Office, key_of, office_with_clock, person_of
from tests.authsvc.stack import Edge, Stack, SteppingClock, refused, some_token
from tests.support.waiting import promised

ANOTHER = "another long password"


@pytest_asyncio.fixture
async def office(edge: Edge) -> Office:
    return Office(edge)


async def test_a_password_opens_a_session_that_says_who_it_is(office: Office) -> None:
    ann = await office.join("ann", "owner")

    opened = await office.sign_in("ANN@example.com ")

    signed_in = await office.whose(opened.session)
    assert signed_in == opened.signed_in
    assert signed_in.person == ann.signed_in.person
    assert signed_in.principal.grants == {"acme": ("owner",)}
    assert signed_in.principal.client == person_of(ann)
    assert opened.session != ann.session
    assert signed_in.csrf != ann.signed_in.csrf
    # A session is no token, and a token no session.
    await refused("auth.invalid", office.verify(opened.session))
    for bad in (some_token(1), opened.session[:-1], "", "x" * 10_000):
        await refused("auth.invalid", office.whose(bad))


async def test_an_unknown_account_and_a_wrong_password_get_the_same_answer(office: Office) -> None:
    await office.join("ann", "owner")

    problems = [
        await refused("login.refused", office.sign_in("ann@example.com", "x" * 20)),
        await refused("login.refused", office.sign_in("eve@example.com")),
        await refused("login.refused", office.sign_in("ann@example.com", PASSWORD + "x" * 200)),
        await refused("login.refused", office.sign_in("\x00")),
    ]

    assert len({(problem.message, str(problem.data)) for problem in problems}) == 1


async def test_values_and_passwords_are_stored_nowhere(stack: Stack, office: Office) -> None:
    ann = await office.join("ann", "owner")

    stored = await stack.everything_stored()

    assert ann.session not in stored
    assert ann.session[12:-6] not in stored
    assert PASSWORD not in stored
    assert "$argon2id$" in stored
    assert ann.session not in repr(ann)


async def test_guessing_at_an_account_is_stopped_even_when_all_guesses_come_at_once(stack: Stack) -> None:
    clock = SteppingClock()
    office = await office_with_clock(stack, clock)
    await office.join("ann", "owner")

    guesses = [office.sign_in("ann@example.com", f"wrong password {n}", address="::1") for n in range(14)]
    answers = await asyncio.gather(*guesses, return_exceptions=True)

    codes = [answer.code for answer in answers if isinstance(answer, Problem)]
    assert codes.count("login.refused") == ATTEMPTS_PER_ACCOUNT
    assert codes.count("login.too_many") == 4
    limited = await refused("login.too_many", office.sign_in("ann@example.com"))
    assert 0 < limited.data["retry_after"] <= 15 * 60 + 1
    clock.step(seconds=limited.data["retry_after"])
    await office.sign_in("ann@example.com")


async def test_guessing_at_many_accounts_from_one_address_is_stopped(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard_authsvc.people.attempts.ATTEMPTS_PER_ADDRESS", 3)
    for number in range(3):
        await refused("login.refused", office.sign_in(f"{number}@example.com", address="192.0.2.1"))

    await refused("login.too_many", office.sign_in("4@example.com", address="192.0.2.1"))

    await refused("login.refused", office.sign_in("4@example.com", address="192.0.2.2"))


async def test_signing_in_again_ends_the_session_that_the_browser_had(office: Office) -> None:
    ann = await office.join("ann", "owner")
    await office.listen()

    opened = await office.sign_in("ann@example.com", former=ann.session)

    await refused("auth.invalid", office.whose(ann.session))
    await office.whose(opened.session)
    await promised(lambda: office.revoked == [key_of(ann)], within=2)


async def test_a_session_that_was_planted_in_a_browser_is_nobodys_after_the_sign_in(office: Office) -> None:
    await office.join("ann", "owner")
    eve = await office.join("eve", "owner")
    made_up = compose(b"7" * 40, SESSION_PREFIX)

    for planted in (made_up, eve.session):
        opened = await office.sign_in("ann@example.com", former=planted)
        assert opened.session != planted
        await refused("auth.invalid", office.whose(planted))
        assert (await office.whose(opened.session)).person.email == "ann@example.com"


async def test_a_session_is_renewed_and_ended(office: Office) -> None:
    ann, second = await office.join("ann", "owner"), await office.sign_in("ann@example.com")

    renewed = await office.bus.ask(subjects.RENEW_SESSION, RenewSession(session=ann.session), SessionOpened)
    await refused("auth.invalid", office.whose(ann.session))
    await office.bus.ask(subjects.SIGN_OUT, SignOut(session=renewed.session), Done)
    await refused("auth.invalid", office.whose(renewed.session))
    await office.whose(second.session)
    third = await office.sign_in("ann@example.com")
    await office.bus.ask(subjects.SIGN_OUT, SignOut(session=third.session, everywhere=True), Done)
    await refused("auth.invalid", office.whose(second.session))
    assert await office.bus.ask(subjects.SIGN_OUT, SignOut(session="junk"), Done) == Done(seq=0)


async def test_a_session_ends_when_nobody_uses_it(stack: Stack) -> None:
    clock = SteppingClock()
    office = await office_with_clock(stack, clock)
    ann = await office.join("ann", "owner")
    for _ in range(3):
        clock.step(hours=7)
        await office.whose(ann.session)

    clock.step(hours=8)

    await refused("auth.invalid", office.whose(ann.session))


async def test_another_password_ends_all_sessions_and_the_old_one_opens_none(office: Office) -> None:
    ann, second = await office.join("ann", "owner"), await office.sign_in("ann@example.com")
    wrong = ChangePassword(session=ann.session, current="not the password", password=ANOTHER)
    await refused("login.refused", office.bus.ask(subjects.CHANGE_PASSWORD, wrong, SessionOpened))
    weak = ChangePassword(session=ann.session, current=PASSWORD, password="short")
    await refused("argument.invalid", office.bus.ask(subjects.CHANGE_PASSWORD, weak, SessionOpened))

    change = ChangePassword(session=ann.session, current=PASSWORD, password=ANOTHER)
    opened = await office.bus.ask(subjects.CHANGE_PASSWORD, change, SessionOpened)

    await refused("auth.invalid", office.whose(ann.session))
    await refused("auth.invalid", office.whose(second.session))
    await office.whose(opened.session)
    await refused("login.refused", office.sign_in("ann@example.com"))
    await office.sign_in("ann@example.com", ANOTHER)


async def test_a_reset_link_works_once_and_for_an_hour(stack: Stack) -> None:
    clock = SteppingClock()
    office = await office_with_clock(stack, clock)
    ann = await office.join("ann", "owner")
    late = await office.bus.ask(subjects.OFFER_RESET, OfferReset(email="ann@example.com"), ResetOffered)
    clock.step(hours=1)
    offered = await office.bus.ask(subjects.OFFER_RESET, OfferReset(email="ann@example.com"), ResetOffered)

    async def reset(token: str, password: str = ANOTHER) -> Done:
        return await office.bus.ask(subjects.RESET_PASSWORD, ResetPassword(token=token, password=password), Done)

    await refused("reset.unknown", reset(late.token))
    await refused("argument.invalid", reset(offered.token, "short"))
    answers = await asyncio.gather(reset(offered.token), reset(offered.token), return_exceptions=True)
    assert len(await stack.rows("select 1 from cb.event where type = 'person.password_set'")) == 1
    assert sorted(type(answer) is Done for answer in answers) == [False, True]
    await refused("reset.unknown", reset(offered.token))
    await refused("auth.invalid", office.whose(ann.session))
    await office.sign_in("ann@example.com", ANOTHER)
    await refused("member.unknown", office.bus.ask(subjects.OFFER_RESET, OfferReset(email="x@y.z"), ResetOffered))


async def test_the_settings_name_the_first_administrator(stack: Stack) -> None:
    names = {"admin_email": "Root@Example.com", "admin_password": Sensitive(PASSWORD)}
    clock = SteppingClock()
    office = await office_with_clock(stack, clock, **names)
    await stack.authsvc(clock=clock, **names)

    root = await office.sign_in("root@example.com")

    assert can(root.signed_in.principal, "administer")
    assert can(root.signed_in.principal, "manage", "acme")
    invited = await office.invite("owner", by=key_of(root))
    await office.register(invited.token, "ann@example.com")
    token = await office.edge.issue(scopes=("manage",), by=key_of(root))
    assert (await office.verify(token.token)).member == ""
    clock.step(minutes=30)
    await refused("auth.invalid", office.bus.ask(subjects.SESSION, AskSession(session=root.session), SessionOpened))


@pytest.mark.parametrize(
    "wrong",
    [
        {"CALLBOARD_AUTHSVC_ADMIN_EMAIL": "root@example.com"},
        {"CALLBOARD_AUTHSVC_ADMIN_EMAIL": "root@example.com", "CALLBOARD_AUTHSVC_ADMIN_PASSWORD": "short-secret"[:5]},
        {"CALLBOARD_AUTHSVC_ADMIN_EMAIL": "root", "CALLBOARD_AUTHSVC_ADMIN_PASSWORD": PASSWORD},
    ],
)
def test_settings_that_name_no_administrator_are_refused_without_the_password(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsRefused) as refusal:
        load(AuthsvcSettings, "authsvc", wrong)

    assert "CALLBOARD_AUTHSVC_ADMIN_" in str(refusal.value)
    assert wrong.get("CALLBOARD_AUTHSVC_ADMIN_PASSWORD", "-") not in str(refusal.value).replace("CALLBOARD", "")
