"""What the aggregates of members, projects and tokens decide, and the rules about persons, without any IO."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from callboard.contracts.access_events import ClientTokenIssued, ClientTokenRotated
from callboard.contracts.events import OrganisationCreated
from callboard.contracts.people_events import (
    InvitationWithdrawn,
    MemberInvited,
    MemberJoined,
    MemberRemoved,
    MemberRoleGiven,
    OrganisationPlanChosen,
    PlaybookAssigned,
    PlaybookUnassigned,
    ProjectCreated,
    ProjectRemoved,
    ProjectRetitled,
    ServiceAccountCreated,
)
from callboard.contracts.plans import Quotas
from callboard.contracts.problems import Problem
from callboard_authsvc.members import domain as m
from callboard_authsvc.organisations import domain as o
from callboard_authsvc.people import domain as people
from callboard_authsvc.projects import domain as p
from callboard_authsvc.tokens import domain as tokens
from tests.authsvc.given import Given

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OFFER = MemberInvited(invitation="i", role="owner", permissions=(), expires_at=NOON)
ANN = MemberJoined(member="person-ann", role="owner", permissions=(), invitation="i")
BOB = MemberJoined(member="person-bob", role="viewer", permissions=("drift:decide",), invitation="j")
CI = ServiceAccountCreated(account="ci", role="manager", permissions=())


def test_an_invitation_makes_one_member_and_is_used_up() -> None:
    join = m.Join(invitation="i", member="person-ann", at=NOON - timedelta(seconds=1))

    Given(m.MEMBERSHIP, OFFER).when(join).then(ANN)
    again = m.Join(invitation="i", member="person-bob", at=join.at)
    Given(m.MEMBERSHIP, OFFER, ANN).when(again).then_refused("invitation.unknown")


def test_an_invitation_that_expired_or_was_withdrawn_is_as_good_as_none() -> None:
    late = m.Join(invitation="i", member="person-ann", at=NOON)
    early = m.Join(invitation="i", member="person-ann", at=NOON - timedelta(days=1))

    refusals = [
        Given(m.MEMBERSHIP, OFFER).when(late).then_refused("invitation.unknown"),
        Given(m.MEMBERSHIP, OFFER, InvitationWithdrawn(invitation="i")).when(early).then_refused("invitation.unknown"),
        Given(m.MEMBERSHIP).when(early).then_refused("invitation.unknown"),
    ]
    assert len({refusal.message for refusal in refusals}) == 1


def test_nobody_joins_twice() -> None:
    join = m.Join(invitation="i", member="person-ann", at=NOON - timedelta(days=1))
    Given(m.MEMBERSHIP, ANN, OFFER).when(join).then_refused("member.exists")


def test_the_last_owner_stays_until_there_is_another_one() -> None:
    remove, demote = m.Remove(member="person-ann"), m.GiveRole(member="person-ann", role="admin")
    promoted = MemberRoleGiven(member="person-bob", role="owner", permissions=())

    Given(m.MEMBERSHIP, ANN, BOB).when(remove).then_refused("member.last_owner")
    Given(m.MEMBERSHIP, ANN, BOB).when(demote).then_refused("member.last_owner")
    Given(m.MEMBERSHIP, ANN, BOB, promoted).when(remove).then(MemberRemoved(member="person-ann"))
    Given(m.MEMBERSHIP, ANN, BOB, promoted).when(demote).then(
        MemberRoleGiven(member="person-ann", role="admin", permissions=())
    )


def test_a_role_is_given_once_and_the_kind_of_member_stays() -> None:
    same = m.GiveRole(member="person-bob", role="viewer", permissions=("drift:decide",))
    Given(m.MEMBERSHIP, BOB).when(same).then_nothing()
    state = m.MEMBERSHIP.fold([CI, MemberRoleGiven(member="ci", role="user", permissions=())])
    assert state.members["ci"] == m.Member("service", "user")


@pytest.mark.parametrize(
    "order",
    [
        m.Invite(invitation="i", role="king", expires_at=NOON),
        m.Invite(invitation="i", role="viewer", permissions=("administer",), expires_at=NOON),
        m.Invite(invitation="i", role="viewer", permissions=("drift:decide", "drift:decide"), expires_at=NOON),
        m.GiveRole(member="person-ann", role=""),
        m.CreateAccount(account="person-eve", role="user"),
        m.CreateAccount(account="C I", role="user"),
    ],
)
def test_a_role_permission_or_name_that_there_is_not_is_refused(order: m.Order) -> None:
    Given(m.MEMBERSHIP, ANN).when(order).then_refused("argument.invalid")


def test_what_is_not_there_cannot_be_changed() -> None:
    Given(m.MEMBERSHIP, ANN).when(m.Remove(member="person-eve")).then_refused("member.unknown")
    Given(m.MEMBERSHIP, ANN).when(m.GiveRole(member="ci", role="user")).then_refused("member.unknown")
    Given(m.MEMBERSHIP, ANN).when(m.Withdraw(invitation="x")).then_refused("invitation.unknown")
    Given(m.MEMBERSHIP, CI).when(m.CreateAccount(account="ci", role="user")).then_refused("member.exists")


def test_a_playbook_belongs_to_one_project() -> None:
    shop, lab = ProjectCreated(project="shop", title="Shop"), ProjectCreated(project="lab")
    inside = PlaybookAssigned(project="shop", playbook="start")

    Given(p.GROUPING, shop, lab).when(p.Assign(project="shop", playbook="start")).then(inside)
    Given(p.GROUPING, shop, lab, inside).when(p.Assign(project="shop", playbook="start")).then_nothing()
    state = p.GROUPING.fold([shop, lab, inside, PlaybookAssigned(project="lab", playbook="start")])
    assert (state.playbooks("shop"), state.playbooks("lab")) == ((), ("start",))
    Given(p.GROUPING, shop, inside).when(p.Assign(project="", playbook="start")).then(
        PlaybookUnassigned(playbook="start")
    )


def test_a_project_is_created_titled_and_dissolved() -> None:
    shop = ProjectCreated(project="shop", title="Shop")
    inside = PlaybookAssigned(project="shop", playbook="start")

    Given(p.GROUPING).when(p.Create(project="shop", title="Shop")).then(shop)
    Given(p.GROUPING, shop).when(p.Create(project="shop", title="Shop")).then_nothing()
    Given(p.GROUPING, shop).when(p.Create(project="shop", title="S")).then(ProjectRetitled(project="shop", title="S"))
    Given(p.GROUPING, shop).when(p.Remove(project="shop")).then(ProjectRemoved(project="shop"))
    Given(p.GROUPING).when(p.Remove(project="shop")).then_refused("project.unknown")
    Given(p.GROUPING).when(p.Assign(project="shop", playbook="start")).then_refused("project.unknown")
    assert p.GROUPING.fold([shop, inside, ProjectRemoved(project="shop")]) == p.Grouping()


def test_a_token_is_replaced_once_and_says_who_stands_behind_it() -> None:
    first = ClientTokenIssued(client="agent", key_id="aaaaaaaa", scopes=("use",), member="person-ann")
    issue = tokens.Issue(client="agent", key_id="bbbbbbbb", scopes=("use",), member="person-ann")
    rotate = tokens.Rotate(former="aaaaaaaa", until=NOON, issue=issue)
    second = ClientTokenIssued(client="agent", key_id="bbbbbbbb", scopes=("use",), member="person-ann")
    rotated = ClientTokenRotated(client="agent", key_id="aaaaaaaa", replaced_by="bbbbbbbb", until=NOON)

    Given(tokens.CLIENT, first).when(rotate).then(second, rotated)
    Given(tokens.CLIENT, first, second, rotated).when(rotate).then_refused("argument.invalid")
    Given(tokens.CLIENT).when(rotate).then_refused("token.unknown")


@pytest.mark.parametrize(
    "email", ["", "ann", "@b.c", "a@", "a b@c.d", "a@b.c\x00", "a@b..c", "x" * 250 + "@b.c", "a@b\nc@d"]
)
def test_a_text_that_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(Problem) as refusal:
        people.checked_email(email)
    assert refusal.value.data == {"argument": "email"}


def test_addresses_are_compared_without_case() -> None:
    assert people.checked_email("  Ann@Example.COM ") == "ann@example.com"


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 129, "ann@example.com"])
def test_a_weak_or_endless_password_is_refused(password: str) -> None:
    with pytest.raises(Problem):
        people.check_password(password, "ann@example.com")


def test_who_tried_too_often_waits_until_the_first_attempt_is_old() -> None:
    assert people.seconds_to_wait(NOON - timedelta(minutes=14), NOON) == 60
    assert people.seconds_to_wait(NOON - timedelta(minutes=15), NOON) == 1


def test_a_session_ends_by_age_by_idleness_and_at_once() -> None:
    def good(now: datetime, *, administers: bool = False, ended: datetime | None = None) -> bool:
        return people.is_open(ended, NOON + timedelta(days=7), NOON, administers, now)

    assert good(NOON + timedelta(hours=7))
    assert not good(NOON + timedelta(hours=8))
    assert good(NOON + timedelta(minutes=29), administers=True)
    assert not good(NOON + timedelta(minutes=30), administers=True)
    assert not good(NOON, ended=NOON)
    assert not people.is_open(None, NOON, NOON, False, NOON)


def test_an_organisation_has_the_last_plan_that_was_chosen() -> None:
    created = OrganisationCreated(organisation="acme")
    free = OrganisationPlanChosen(organisation="acme", plan="free", playbooks=3, servers=5, calls_per_day=1000)
    more = OrganisationPlanChosen(organisation="acme", plan="free", playbooks=9, servers=5, calls_per_day=1000)
    choose = o.Choose(organisation="acme", plan="free")

    Given(o.ORGANISATION).when(o.Create(organisation="acme", plan="free")).then(created, free)
    Given(o.ORGANISATION, created).when(choose).then(free)
    Given(o.ORGANISATION, created, free).when(choose).then_nothing()
    changed = o.Choose(organisation="acme", plan="free", quotas=Quotas(playbooks=9))
    Given(o.ORGANISATION, created, free).when(changed).then(more)
    Given(o.ORGANISATION, created).when(o.Choose(organisation="acme", plan="golden")).then_refused("argument.invalid")
    negative = o.Choose(organisation="acme", plan="free", quotas=Quotas(servers=-1))
    Given(o.ORGANISATION, created).when(negative).then_refused("argument.invalid")
