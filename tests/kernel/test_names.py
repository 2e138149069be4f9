from __future__ import annotations

import pytest

from callboard.contracts.access import Principal
from callboard.kernel.names import first_match, is_slug, matches, split_reference, wire_name
from callboard.kernel.permissions import can
from callboard.kernel.tokens import compose, key_id_of


@pytest.mark.parametrize("name", ["a", "acme", "a-b_c9", "9", "x" * 63])
def test_a_slug_is_a_token_of_a_subject(name: str) -> None:
    assert is_slug(name)


@pytest.mark.parametrize("name", ["", "A", "a.b", "a b", "a*", "-a", "a-", "x" * 64, "é", ">"])
def test_anything_else_is_not_a_slug(name: str) -> None:
    assert not is_slug(name)


def test_globs_are_case_sensitive_and_cover_the_whole_name() -> None:
    assert matches("git_*", "git_log")
    assert not matches("git", "git_log")
    assert not matches("GIT_*", "git_log")
    assert first_match(("b", "a*", "ab"), "ab") == "a*"
    assert first_match(("b",), "a") is None


def test_wire_names_of_64_characters_stay_and_longer_ones_are_hashed_apart() -> None:
    assert wire_name("p__", "x" * 61) == "p__" + "x" * 61
    first, second = wire_name("p__", "x" * 70 + "1"), wire_name("p__", "x" * 70 + "2")
    assert len(first) == len(second) == 64
    assert first != second


@pytest.mark.parametrize(
    ("text", "expected"),
    [("acme/start@2", ("acme", "start", 2)), ("start", ("here", "start", 0)), ("acme/start", ("acme", "start", 0))],
)
def test_a_reference_names_organisation_playbook_and_version(text: str, expected: tuple[str, str, int]) -> None:
    assert split_reference(text, "here") == expected


def test_a_reference_without_organisation_is_explained() -> None:
    with pytest.raises(ValueError, match="acme/start"):
        split_reference("start")


@pytest.mark.parametrize("version", ["x", "", "0", "01", "-1", "٣", "1" * 10])
def test_a_reference_with_a_bad_version_is_explained(version: str) -> None:
    with pytest.raises(ValueError, match="version number"):
        split_reference(f"acme/start@{version}")


def principal(*scopes: str, organisation: str = "acme", playbooks: tuple[str, ...] = ()) -> Principal:
    return Principal(key_id="k", client="c", organisation=organisation, scopes=scopes, playbooks=playbooks)


def test_a_token_reaches_its_own_organisation_and_playbooks_only() -> None:
    user = principal("use", playbooks=("st*",))
    assert can(user, "use", "acme", "start")
    assert not can(user, "use", "acme", "other")
    assert not can(user, "use", "else", "start")
    assert not can(user, "read", "acme")


def test_scopes_form_a_ladder_and_only_the_administrator_administers() -> None:
    assert can(principal("manage"), "read", "acme")
    assert not can(principal("manage"), "administer")
    assert not can(principal("administer"), "administer")
    assert can(principal("administer", organisation="*"), "administer")
    assert can(principal("administer", organisation="*"), "manage", "anything")
    assert not can(principal("nonsense"), "use", "acme")


def test_a_token_carries_a_checksum_that_finds_junk() -> None:
    token = compose(bytes(range(40)))
    assert token.startswith("cbk_")
    assert len(token) == 50
    assert key_id_of(token) == token[4:12]
    assert key_id_of(token[:-1] + ("0" if token[-1] != "0" else "1")) is None
    assert key_id_of("cbk_short") is None
    assert key_id_of(token.replace(token[20], "é", 1)) is None
