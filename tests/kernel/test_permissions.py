"""The table of who may do what, and how a member's rights narrow a token's."""

from __future__ import annotations

import itertools

import pytest

from callboard.contracts.access import Principal
from callboard.kernel.permissions import PERMISSIONS, ROLES, SCOPES, actions_of, can, may_give


def principal(*scopes: str, grants: dict[str, tuple[str, ...]] | None = None, organisation: str = "acme") -> Principal:
    return Principal(key_id="k", client="c", organisation=organisation, scopes=scopes, grants=grants)


def test_every_role_may_all_that_the_one_below_it_may_and_more() -> None:
    ladder = [actions_of((role,)) for role in ROLES]
    assert all(below < above for below, above in itertools.pairwise(ladder))
    assert list(ROLES) == ["user", "viewer", "operator", "manager", "admin", "owner"]
    assert "administer" not in ladder[-1]


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("user", "use", "read"),
        ("viewer", "call:read", "drift:decide"),
        ("operator", "playbook:roll_back", "playbook:publish"),
        ("manager", "token:manage", "member:manage"),
        ("admin", "member:manage", "own"),
        ("owner", "own", "administer"),
    ],
)
def test_each_role_ends_where_the_next_one_begins(role: str, may: str, may_not: str) -> None:
    assert may in actions_of((role,))
    assert may_not not in actions_of((role,))


def test_a_permission_stands_on_top_of_a_role_and_brings_nothing_else() -> None:
    added = actions_of(("user", "drift:decide")) - actions_of(("user",))
    assert added == {"drift:decide"}


def test_an_unknown_name_allows_nothing() -> None:
    assert actions_of(("nonsense", "drift:*", "")) == frozenset()


def test_tokens_are_for_everything_but_administration() -> None:
    assert "administer" not in SCOPES
    assert {"use", "read", "manage", *PERMISSIONS} <= set(SCOPES)


def test_a_token_may_what_its_scopes_and_its_member_both_may() -> None:
    token = principal("manage", grants={"acme": ("viewer",)})
    assert can(token, "read", "acme")
    assert not can(token, "token:manage", "acme")
    assert not can(principal("read", grants={"acme": ("owner",)}), "manage", "acme")
    assert not can(principal("manage", grants={}), "use", "acme")


def test_a_person_has_rights_in_each_organisation_of_its_own_and_in_no_other() -> None:
    person = principal("own", grants={"acme": ("owner",), "zeta": ("user", "drift:decide")}, organisation="")
    assert can(person, "member:manage", "acme")
    assert can(person, "drift:decide", "zeta")
    assert not can(person, "read", "zeta")
    assert not can(person, "use", "else")
    assert not can(person, "use", "")
    assert not can(person, "administer")


def test_nobody_gives_more_than_they_have() -> None:
    admin = principal("own", grants={"acme": ("admin",)}, organisation="")
    assert may_give(admin, ("admin",), "acme")
    assert may_give(admin, ("viewer", "drift:decide"), "acme")
    assert not may_give(admin, ("owner",), "acme")
    assert not may_give(admin, ("user",), "zeta")
    assert not may_give(principal("manage"), ("govern",), "acme")
    assert not may_give(principal("manage"), ("use",), "zeta")
    assert may_give(principal("administer", organisation="*"), ("owner",), "anything")
