"""The table of who may do what, and how a member's rights narrow a token's."""

from __future__ import annotations

import itertools
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.contracts.access import Principal
from callboard.kernel.permissions import PERMISSIONS, ROLES, SCOPES, Action, actions_of, can, may_give

NAMES = st.sampled_from(("acme", "zeta", "*", "", "a", "acme2"))
RIGHTS = st.lists(st.sampled_from([*SCOPES, *ROLES, "administer", "nonsense"]), max_size=4).map(tuple)
PRINCIPALS = st.builds(
    Principal,
    key_id=st.just("k"),
    client=st.just("c"),
    organisation=NAMES,
    scopes=RIGHTS,
    playbooks=st.lists(st.sampled_from(["*", "start", "st*"]), max_size=2).map(tuple),
    grants=st.none() | st.dictionaries(st.sampled_from(("acme", "zeta", "a")), RIGHTS, max_size=2),
)
ACTIONS: list[Action] = sorted({*get_args(Action)})


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


@settings(max_examples=2000, deadline=None)
@given(PRINCIPALS, st.sampled_from(ACTIONS), st.sampled_from(("acme", "zeta", "other")))
def test_nothing_crosses_organisations_whoever_asks_for_whatever(
    principal: Principal, action: Action, organisation: str
) -> None:
    allowed = can(principal, action, organisation)
    if principal.grants is not None and action != "administer":
        belongs = organisation in principal.grants
    else:
        belongs = principal.organisation in ("*", organisation)
    assert not allowed or belongs
    assert not allowed or action in actions_of(principal.scopes)


@settings(max_examples=2000, deadline=None)
@given(PRINCIPALS, RIGHTS, RIGHTS)
def test_a_member_with_less_makes_no_token_do_more(
    principal: Principal, less: tuple[str, ...], more: tuple[str, ...]
) -> None:
    def doing(rights: tuple[str, ...]) -> set[Action]:
        held = msgspec.structs.replace(principal, organisation="acme", grants={"acme": rights})
        return {action for action in ACTIONS if can(held, action, "acme")}

    assert doing(less) <= doing((*less, *more))
    assert doing(()) == set()
