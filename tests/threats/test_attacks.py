"""The attacks of `attacks.py` against the product."""

from __future__ import annotations

import pytest

from callboard.contracts.problems import Problem
from callboard_authsvc.adapters.passwords import Passwords
from callboard_connectors.discovery.domain import judge
from callboard_connectors.transports.commands import Commands
from tests.authsvc.test_sign_in import Wiki
from tests.support.guarded import guarded
from tests.threats import attacks


def test_in_production_no_program_runs_that_is_not_listed() -> None:
    attacks.run_any_program(Commands.parse("S", attacks.LISTED, production=True))
    nothing = Commands.parse("S", "", production=True)
    assert nothing.fault(("mcp-server-time",), {}, None) != ""
    listed = Commands.parse("S", attacks.LISTED, production=True)
    assert listed.fault(("mcp-server-time", "--local-timezone", "UTC"), {"TZ": "UTC"}, None) == ""
    assert listed.fault(("npx", "-y", "@scope/server@1.2.3"), {}, None) == ""
    assert listed.fault(attacks.GIT, {}, "/srv/r") == ""


def test_a_refusal_says_which_variable_or_folder_and_what_to_add() -> None:
    listed = Commands.parse("S", attacks.LISTED, production=True)
    assert "add `env:GIT_AUTHOR_NAME`" in listed.fault(attacks.GIT, {"GIT_AUTHOR_NAME": "x"}, "/srv/r")
    assert "add `cwd:/tmp`" in listed.fault(attacks.GIT, {}, "/tmp")
    assert "GIT_SSH_COMMAND could put other code" in listed.fault(attacks.GIT, {"GIT_SSH_COMMAND": "x"}, None)


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "* ...",
        "n* -y x",
        "... x",
        "a ... b",
        "env:TZ",
        "a env:*",
        "a env:LD_PRELOAD",
        "a env:GIT_CONFIG_COUNT",
        "a env:",
        "a cwd:*",
    ],
)
def test_a_list_that_allows_anything_is_refused_in_production(text: str) -> None:
    with pytest.raises(ValueError, match="SETTING"):
        Commands.parse("SETTING", text, production=True)


@pytest.mark.parametrize("where", attacks.HIDING)
def test_a_tool_that_hides_text_from_people_is_quarantined(where: str) -> None:
    assert "a person cannot see" in (attacks.hide_text_in(where).problem or "")


@pytest.mark.parametrize(
    "text", ["🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "👩‍💻", "می‌خواهم", "שלום\u200f"]
)
def test_scripts_and_emoji_that_need_invisible_characters_are_not_suspected(text: str) -> None:
    raw = f'{{"name":"t","description":"{text}","inputSchema":{{"type":"object"}}}}'.encode()
    assert judge("tools", raw, 0).problem is None


def test_a_schema_has_nothing_fetched() -> None:
    attacks.have_a_schema_fetched()


def test_no_pattern_takes_long() -> None:
    attacks.make_a_pattern_slow()


async def test_a_token_opens_its_own_playbooks_only() -> None:
    with pytest.raises(Problem):
        await attacks.enter_another_playbook()


def test_a_change_by_cookie_comes_from_our_own_page() -> None:
    attacks.ride_on_a_cookie()


async def test_an_account_that_there_is_not_costs_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    await attacks.tell_accounts_apart(Passwords(), monkeypatch)


async def test_many_callers_refresh_once() -> None:
    async with guarded() as server:
        await attacks.refresh_at_once(Wiki(server))
