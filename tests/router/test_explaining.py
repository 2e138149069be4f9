from __future__ import annotations

import msgspec
import pytest

from callboard.contracts.calls import MODERN
from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    PlaybookContent,
    PlaybookDefinition,
    PlaybookServer,
    ToolRules,
)
from callboard.kernel.digest import digest_of_json
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.explain import explain


def item(name: str, problem: str | None = None) -> CatalogueItem:
    raw = msgspec.Raw(msgspec.json.encode({"name": name, "inputSchema": {"type": "object"}}))
    return CatalogueItem(name=name, digest=digest_of_json(raw), raw=raw, problem=problem)


TOOLS = ("git_log", "git_push", "git_reset", "other", "git_" + "x" * 60)
RULES = ToolRules(
    allow=("other", "git_*"), deny=("*reset", "*_push"), rename={"git_log": "history"}, describe={"git_log": "Read it"}
)


def compiled(**servers: PlaybookServer) -> CompiledPlaybook:
    catalogues = {
        "git": Catalogue(era=MODERN, tools=(*map(item, TOOLS), item("broken", "its schema is no object"))),
        "bare": Catalogue(era=MODERN, tools=(item("git__history"),)),
    }
    uses = servers or {"git": PlaybookServer(tools=RULES)}
    return CompiledPlaybook(
        1, PlaybookContent(definition=PlaybookDefinition(servers=uses)), catalogues, 100, place="acme/start"
    )


def told(playbook: CompiledPlaybook, tool: str) -> list[tuple[str, str]]:
    (found,) = explain(playbook, tool)
    return [(rule.where, rule.effect) for rule in found.rules]


def test_a_shown_tool_is_explained_by_every_rule_that_made_it_what_it_is() -> None:
    base = "playbooks.start.servers.git"
    rules = [
        (f"{base}.tools.allow", "shown by the pattern git_*"),
        (f"{base}.tools.rename.git_log", "renamed to history"),
        (f"{base}.names", "prefixed: begins with git__"),
        (f"{base}.tools.describe.git_log", "described in the playbook's words"),
    ]
    assert told(compiled(), "git__history") == rules
    assert told(compiled(), "git_log") == rules, "by its server's name too"


@pytest.mark.parametrize(
    ("tool", "pattern"), [("git_reset", "*reset"), ("git_push", "*_push"), ("git__git_push", "*_push")]
)
def test_a_denied_tool_names_the_pattern_that_hides_it(tool: str, pattern: str) -> None:
    assert told(compiled(), tool) == [("playbooks.start.servers.git.tools.deny", f"hidden by the pattern {pattern}")]


def test_a_tool_that_no_allowing_pattern_has_is_told_so() -> None:
    narrow = compiled(git=PlaybookServer(tools=ToolRules(allow=("git_*",))))
    where = "playbooks.start.servers.git.tools.allow"
    assert told(narrow, "other") == [(where, "hidden: none of its patterns has this tool")]


def test_without_filters_a_tool_is_shown_by_default() -> None:
    plain = compiled(git=PlaybookServer(names="bare"))
    where = "playbooks.start.servers.git.tools"
    assert told(plain, "other") == [(where, "shown: no allow-list, and no pattern of deny has it")]


def test_a_name_that_is_too_long_is_explained() -> None:
    (*_, last) = told(compiled(), TOOLS[-1])
    assert "over 64 characters" in last[1]


def test_a_quarantined_tool_and_the_loser_of_a_collision_say_what_is_wrong() -> None:
    assert told(compiled(), "broken") == [("", "hidden (quarantined): its schema is no object")]
    both = compiled(git=PlaybookServer(tools=RULES), bare=PlaybookServer(names="bare"))
    shown, hidden = explain(both, "git__history")
    assert (shown.server, shown.hidden, hidden.server, hidden.hidden) == ("git", None, "bare", "collision")
    assert "comes from both 'git' and 'bare'" in hidden.rules[-1].effect


def test_what_is_hidden_is_told_for_whole_servers_and_for_each_thing() -> None:
    playbook = compiled(
        git=PlaybookServer(tools=RULES), bare=PlaybookServer(enabled=False), gone=PlaybookServer(tools=RULES)
    )
    told = {(hidden.kind, hidden.server, hidden.name): hidden.reason for hidden in playbook.exposure.hidden}
    assert told == {
        ("server", "bare", "bare"): "disabled",
        ("server", "gone", "gone"): "not_reached",
        ("tool", "git", "git_push"): "denied",
        ("tool", "git", "git_reset"): "denied",
        ("tool", "git", "broken"): "quarantined",
    }


def test_every_tool_of_every_catalogue_is_either_shown_or_hidden_with_a_reason() -> None:
    playbook = compiled(git=PlaybookServer(tools=RULES), bare=PlaybookServer(names="bare"))
    shown = [(entry.server, entry.item.name) for entry in playbook.exposure.tools.values()]
    hidden = [(hidden.server, hidden.name) for hidden in playbook.exposure.hidden]
    offered = [("git", name) for name in (*TOOLS, "broken")] + [("bare", "git__history")]
    assert sorted(shown + hidden) == sorted(offered)


def test_an_unknown_tool_is_not_explained() -> None:
    assert explain(compiled(), "nothing") == ()
