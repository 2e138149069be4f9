"""What `/mcp` is, by the token of its caller."""

from __future__ import annotations

import pytest

from callboard.contracts.access import Principal
from callboard.contracts.problems import Problem
from callboard.kernel.permissions import selection_of, selects
from callboard_edge.mcp.gate import BY_TOKEN, Place, place_by_token, place_of


def holder(*playbooks: str, organisation: str = "acme", scopes: tuple[str, ...] = ("use",)) -> Principal:
    return Principal(key_id="k", client="c", organisation=organisation, scopes=scopes, playbooks=playbooks)


def test_only_the_single_path_leaves_the_place_to_the_token() -> None:
    assert place_of("/mcp") is BY_TOKEN
    # What `/p/mcp` comes as.
    assert place_of("/mcp/") is None


@pytest.mark.parametrize("playbooks", [("start",), ("start", "start")])
def test_a_token_of_one_playbook_enters_that_playbook(playbooks: tuple[str, ...]) -> None:
    assert place_by_token(holder(*playbooks)) == Place("acme", "start", 0)


@pytest.mark.parametrize(
    ("playbooks", "selection"),
    [((), "*"), (("b", "a"), "a,b"), (("git-*",), "git-*"), (("a", "*"), "*"), (("a?",), "a?")],
)
def test_any_other_token_enters_the_union_of_what_it_opens(playbooks: tuple[str, ...], selection: str) -> None:
    assert place_by_token(holder(*playbooks)) == Place("acme", "_", 0, selection)


def test_a_place_knows_the_path_that_leads_to_it() -> None:
    for path in ("/p/acme/start", "/p/acme/start@3"):
        place = place_of(f"{path.removeprefix('/p')}/mcp")
        assert place is not None
        assert place.path == path
    assert place_by_token(holder()).path == ""


def test_a_union_shows_what_the_token_selects_and_nothing_else() -> None:
    place = place_by_token(holder("git-*", "start"))
    assert [name for name in ("git-a", "start", "git", "other", "_") if place.shows(name)] == ["git-a", "start", "_"]
    assert Place("acme", "start", 0).shows("start")
    assert not Place("acme", "start", 0).shows("start-2")
    assert selects(selection_of(()), "whatever-comes-later")


def test_nothing_follows_from_the_token_of_an_administrator_and_it_is_said() -> None:
    with pytest.raises(Problem, match="belongs to no organisation") as refused:
        place_by_token(holder(organisation="*", scopes=("administer",)))
    assert refused.value.code == "auth.forbidden"
    with pytest.raises(Problem, match="does not allow"):
        place_by_token(holder(scopes=()))
