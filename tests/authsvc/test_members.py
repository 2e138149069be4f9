"""Members and what depends on them, over the bus, with the permissions of an edge."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest_asyncio

from callboard.contracts import subjects
from callboard.contracts.access import AskTokens, RevokeToken, RotateToken, TokenIssued, Tokens
from callboard.contracts.people import (
    AcceptInvitation,
    AskProjects,
    AssignPlaybook,
    CreateProject,
    CreateServiceAccount,
    Joined,
    Projects,
    WithdrawInvitation,
)
from callboard.contracts.playbooks import Done
from callboard.kernel.permissions import can
from tests.authsvc.people import Office, key_of, office_with_clock, person_of
from tests.authsvc.stack import Edge, Stack, SteppingClock, new_id, refused
from tests.support.waiting import promised


@pytest_asyncio.fixture
async def office(edge: Edge) -> Office:
    return Office(edge)


async def accept(office: Office, token: str, session: str) -> Joined:
    command = AcceptInvitation(command_id=new_id(), token=token, session=session)
    return await office.bus.ask(subjects.ACCEPT_INVITATION, command, Joined)


async def rotate(office: Office, key_id: str, by: str = "", **rest: Any) -> TokenIssued:
    command = RotateToken(command_id=new_id(), organisation="acme", key_id=key_id, by=by, **rest)
    return await office.bus.ask(subjects.ROTATE_TOKEN, command, TokenIssued)


async def test_whoever_has_the_link_joins_with_the_role_of_the_invitation(stack: Stack, office: Office) -> None:
    owner = await office.join("ann", "owner")
    invitation = await office.invite("viewer", by=key_of(owner), permissions=("drift:decide",), email="Bob@Example.com")
    listed = await office.members()
    assert [(line.invitation, line.email) for line in listed.invitations] == [
        (invitation.invitation, "bob@example.com")
    ]
    await refused("invitation.unknown", office.register(invitation.token, "eve@example.com"))

    bob = await office.register(invitation.token, "bob@example.com", name="Bob")

    assert bob.signed_in.principal.grants == {"acme": ("viewer", "drift:decide")}
    lines = (await office.members()).members
    assert [(line.role, line.kind, line.email, line.name) for line in lines] == [
        ("owner", "person", "ann@example.com", "ann"),
        ("viewer", "person", "bob@example.com", "Bob"),
    ]
    await refused("invitation.unknown", office.register(invitation.token, "bob2@example.com"))
    assert (await stack.events("acme"))[1:] == ["member.invited", "member.joined", "person.signed_in"] * 2


async def test_nothing_personal_stands_in_the_log(stack: Stack, office: Office) -> None:
    await office.join("zoe", "owner")
    await office.invite("viewer", email="bob@example.com")

    rows = await stack.rows("select payload || meta || stream as text from cb.event")
    hashes = await stack.rows("select encode(request_hash, 'hex') as text from cb.command")

    logged = "\n".join(row["text"] for row in [*rows, *hashes])
    assert "person-" in logged
    assert "zoe" not in logged
    assert "example.com" not in logged


async def test_a_person_belongs_to_several_organisations_and_sees_no_other(office: Office) -> None:
    await office.edge.create("zeta")
    ann = await office.join("ann", "owner")
    invitation = await office.invite("viewer", organisation="zeta")

    assert await accept(office, invitation.token, ann.session) == Joined(organisation="zeta", role="viewer")

    principal = (await office.whose(ann.session)).principal
    assert principal.grants == {"acme": ("owner",), "zeta": ("viewer",)}
    assert not can(principal, "manage", "zeta")
    by = key_of(ann)
    await refused("auth.forbidden", office.invite("viewer", by=by, organisation="zeta"))
    problems = [
        await refused("auth.forbidden", office.edge.issue("zeta", by=by)),
        await refused("organisation.unknown", office.edge.issue("nobody", by=by)),
    ]
    assert len(problems) == 2
    again = await office.invite("viewer", organisation="zeta")
    await refused("member.exists", accept(office, again.token, ann.session))


async def test_nobody_makes_anybody_more_than_they_are_and_nobody_takes_from_who_is_more(office: Office) -> None:
    owner, admin, viewer = [await office.join(n, r) for n, r in (("o", "owner"), ("a", "admin"), ("v", "viewer"))]
    by = key_of(admin)

    await refused("auth.forbidden", office.invite("owner", by=by))
    await refused("auth.forbidden", office.give_role(person_of(viewer), "owner", by=by))
    await refused("auth.forbidden", office.give_role(person_of(owner), "viewer", by=by))
    await refused("auth.forbidden", office.remove(person_of(owner), by=by))
    await refused("auth.forbidden", office.give_role(person_of(admin), "owner", by=key_of(viewer)))
    await refused("auth.forbidden", office.remove(person_of(admin), by=key_of(viewer)))
    await refused("member.last_owner", office.remove(person_of(owner), by=key_of(owner)))
    assert (await office.give_role(person_of(viewer), "admin", by=by)).seq > 0
    assert (await office.remove(person_of(viewer), by=key_of(viewer))).seq > 0


async def test_the_keys_of_a_demoted_member_shrink_and_every_edge_is_told(office: Office) -> None:
    await office.join("ann", "owner")
    bob = await office.join("bob", "manager")
    token = await office.edge.issue(client="agent", scopes=("manage",), by=key_of(bob))
    assert can(await office.verify(token.token), "manage", "acme")
    await office.listen()

    await office.give_role(person_of(bob), "viewer")

    await promised(lambda: set(office.changed) >= {token.key_id, key_of(bob)}, within=2)
    principal = await office.verify(token.token)
    assert can(principal, "read", "acme")
    assert not can(principal, "manage", "acme")
    assert principal.member == person_of(bob)
    await refused("auth.forbidden", office.edge.issue(client="more", scopes=("use",), by=key_of(bob)))
    # The token of before issues nothing either: what counts is what its member may do now.
    await refused("auth.forbidden", office.edge.issue(client="more", scopes=("use",), by=token.key_id))


async def test_a_removed_member_loses_every_key_for_good(office: Office) -> None:
    ann = await office.join("ann", "owner")
    bob = await office.join("bob", "manager")
    direct = await office.edge.issue(client="agent", scopes=("manage",), by=key_of(bob))
    second = await office.edge.issue(client="other", scopes=("use",), by=direct.key_id)
    await office.listen()

    await office.remove(person_of(bob), by=key_of(ann))

    await promised(lambda: set(office.revoked) >= {direct.key_id, second.key_id}, within=2)
    await refused("auth.invalid", office.verify(direct.token))
    await refused("auth.invalid", office.verify(second.token))
    assert (await office.whose(bob.session)).principal.grants == {}
    invitation = await office.invite("manager")
    await accept(office, invitation.token, bob.session)
    await refused("auth.invalid", office.verify(direct.token))


async def test_every_member_has_keys_of_its_own_and_touches_no_other(office: Office) -> None:
    ann, bob = await office.join("ann", "owner"), await office.join("bob", "user")
    own = await office.edge.issue(client=person_of(bob), scopes=("use",), by=key_of(bob))
    assert (await office.verify(own.token)).grants == {"acme": ("user",)}

    await refused("auth.forbidden", office.edge.issue(client="agent", scopes=("use",), by=key_of(bob)))
    await refused("auth.forbidden", office.edge.issue(client=person_of(bob), scopes=("read",), by=key_of(bob)))
    await refused("auth.forbidden", office.edge.issue(client=person_of(ann), scopes=("use",), by=key_of(bob)))
    await refused("auth.forbidden", office.edge.issue(client=person_of(bob), scopes=("use",), by=key_of(ann)))
    others = await office.edge.issue(client="agent", scopes=("use",), by=key_of(ann))
    revoke = RevokeToken(command_id=new_id(), organisation="acme", key_id=others.key_id, by=key_of(bob))
    await refused("auth.forbidden", office.bus.ask(subjects.REVOKE_TOKEN, revoke, Done))
    await refused("auth.forbidden", rotate(office, others.key_id, by=key_of(bob)))
    assert (await rotate(office, own.key_id, by=key_of(bob))).scopes == ("use",)


async def test_the_tokens_of_a_service_account_are_bound_by_the_account_and_outlive_who_made_them(
    office: Office,
) -> None:
    await office.join("ann", "owner")
    bob = await office.join("bob", "admin")
    create = CreateServiceAccount(
        command_id=new_id(), organisation="acme", account="ci", role="operator", by=key_of(bob)
    )
    await office.bus.ask(subjects.CREATE_SERVICE_ACCOUNT, create, Done)
    token = await office.edge.issue(client="ci", scopes=("manage",), by=key_of(bob))

    await office.remove(person_of(bob))

    principal = await office.verify(token.token)
    assert can(principal, "playbook:roll_back", "acme")
    assert not can(principal, "playbook:publish", "acme")
    await office.remove("ci")
    await refused("auth.invalid", office.verify(token.token))


async def test_a_new_account_does_not_inherit_the_sign_ins_of_an_earlier_one_of_its_name(
    stack: Stack, office: Office
) -> None:
    await office.edge.create("other")

    async def account(name: str, organisation: str = "acme") -> None:
        command = CreateServiceAccount(command_id=new_id(), organisation=organisation, account=name, role="viewer")
        await office.bus.ask(subjects.CREATE_SERVICE_ACCOUNT, command, Done)
        where = (organisation, "wiki", name)
        await stack.rows(
            "insert into cb.upstream_grant (organisation, server, subject, version, sealed, issuer, scopes)"
            " values ($1, $2, $3, 1, 'x', 'i', '{}')",
            *where,
        )
        await stack.rows(
            "insert into cb.upstream_sign_in (organisation, server, subject, handle, challenge, expires_at)"
            " values ($1, $2, $3, $4, '{}', now() + interval '1 hour')",
            *where,
            "/".join(where).encode(),
        )

    await account("ci")
    await account("other-one")
    await account("ci", "other")
    await office.remove("ci")
    for table in ("cb.upstream_grant", "cb.upstream_sign_in"):
        left = await stack.rows(f"select organisation, subject from {table} order by organisation, subject")
        assert [tuple(row) for row in left] == [("acme", "other-one"), ("other", "ci")]


async def test_a_rotated_token_and_its_successor_both_work_for_the_overlap(stack: Stack) -> None:
    clock = SteppingClock()
    office = await office_with_clock(stack, clock)
    old = await office.edge.issue(scopes=("use", "read"), playbooks=("start",), expires_in_seconds=86_400)
    await office.listen()
    clock.step(hours=1)

    fresh = await rotate(office, old.key_id, overlap_seconds=60)

    assert (fresh.scopes, fresh.playbooks, fresh.client) == (old.scopes, old.playbooks, old.client)
    assert fresh.expires_at is not None
    assert (fresh.expires_at - clock.now).total_seconds() == 86_400
    await promised(lambda: office.changed == [old.key_id], within=2)
    clock.step(seconds=59)
    assert (await office.verify(old.token)).key_id == old.key_id
    clock.step(seconds=1)
    await refused("auth.invalid", office.verify(old.token))
    assert (await office.verify(fresh.token)).key_id == fresh.key_id
    await refused("token.unknown", rotate(office, old.key_id))
    listed = await office.bus.ask(subjects.TOKENS, AskTokens(organisation="acme"), Tokens)
    assert [(line.key_id, line.replaced_by) for line in listed.tokens] == [
        (old.key_id, fresh.key_id),
        (fresh.key_id, ""),
    ]


async def test_the_last_use_of_a_token_is_remembered(stack: Stack, office: Office) -> None:
    issued = await office.edge.issue()
    await office.verify(issued.token)
    await stack.stop(stack.rooms[0])

    [row] = await stack.rows("select used_at from cb.token")

    assert row["used_at"] is not None


async def test_an_instance_that_starts_tells_again_of_whom_it_may_have_missed(stack: Stack, office: Office) -> None:
    await office.join("ann", "owner")
    bob = await office.join("bob", "manager")
    token = await office.edge.issue(client="agent", scopes=("manage",), by=key_of(bob))
    await office.remove(person_of(bob))
    await office.listen()
    office.revoked.clear()

    await stack.authsvc()

    await promised(lambda: token.key_id in office.revoked, within=5)


async def test_two_who_remove_each_other_leave_an_owner(stack: Stack, office: Office) -> None:
    await stack.authsvc()
    ann, bob = await office.join("ann", "owner"), await office.join("bob", "owner")

    answers = await asyncio.gather(
        office.remove(person_of(ann), by=key_of(bob)),
        office.remove(person_of(bob), by=key_of(ann)),
        return_exceptions=True,
    )

    assert len([answer for answer in answers if isinstance(answer, Done)]) == 1
    assert len((await office.members()).members) == 1


async def test_a_withdrawn_invitation_is_refused_like_one_that_never_was(office: Office) -> None:
    invitation = await office.invite("viewer")
    command = WithdrawInvitation(command_id=new_id(), organisation="acme", invitation=invitation.invitation)
    await office.bus.ask(subjects.WITHDRAW_INVITATION, command, Done)

    withdrawn = await refused("invitation.unknown", office.register(invitation.token, "eve@example.com"))
    unknown = await refused("invitation.unknown", office.register("cbi_" + "0" * 46, "eve@example.com"))

    assert withdrawn.message == unknown.message


async def test_playbooks_are_put_into_projects(stack: Stack, office: Office) -> None:
    create = CreateProject(command_id=new_id(), organisation="acme", project="shop", title="Shop", actor="ann")
    assign = AssignPlaybook(command_id=new_id(), organisation="acme", project="shop", playbook="start", actor="ann")

    for _ in range(2):
        assert (await office.bus.ask(subjects.CREATE_PROJECT, create, Done)).seq == 2
        assert (await office.bus.ask(subjects.ASSIGN_PLAYBOOK, assign, Done)).seq == 3

    found = await office.bus.ask(subjects.PROJECTS, AskProjects(organisation="acme"), Projects)
    assert [(line.project, line.title, line.playbooks) for line in found.projects] == [("shop", "Shop", ("start",))]
    await refused("organisation.unknown", office.bus.ask(subjects.PROJECTS, AskProjects(organisation="zeta"), Projects))
