from __future__ import annotations

import msgspec
import pytest

from callboard.contracts.calls import LEGACY, MODERN
from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    PlaybookContent,
    PlaybookDefinition,
    PlaybookServer,
    StoredPrompt,
    ToolRules,
)
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of_json
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.domain import expose, template_pattern
from callboard_router.catalogue.lists import PreparedList


def item(name: str, problem: str | None = None, **rest: object) -> CatalogueItem:
    raw = msgspec.Raw(msgspec.json.encode({"name": name, "inputSchema": {"type": "object"}, **rest}))
    return CatalogueItem(name=name, digest=digest_of_json(raw), raw=raw, problem=problem)


def offering(*tools: CatalogueItem) -> Catalogue:
    return Catalogue(era=MODERN, tools=tools)


GIT = offering(item("log", description="old"), item("status"), item("reset"))


def test_names_get_the_prefix_the_playbook_asks_for() -> None:
    for names, expected in (("prefixed", "git__log"), ("bare", "log"), ("vcs", "vcs__log"), ("vcs.", "vcs.log")):
        definition = PlaybookDefinition(servers={"git": PlaybookServer(names=names)})
        assert expected in expose(definition, {"git": GIT}).tools


def test_deny_wins_over_allow_and_an_absent_allow_list_means_all() -> None:
    rules = ToolRules(allow=("log", "res*"), deny=("reset",))
    shown = expose(PlaybookDefinition(servers={"git": PlaybookServer(tools=rules)}), {"git": GIT}).tools
    assert list(shown) == ["git__log"]
    assert len(expose(PlaybookDefinition(servers={"git": PlaybookServer()}), {"git": GIT}).tools) == 3
    none = PlaybookServer(tools=ToolRules(allow=()))
    assert not expose(PlaybookDefinition(servers={"git": none}), {"git": GIT}).tools


def test_a_rename_and_a_description_show_and_the_rest_of_the_bytes_stay() -> None:
    rules = ToolRules(rename={"log": "history"}, describe={"log": "new"})
    content = PlaybookContent(definition=PlaybookDefinition(servers={"git": PlaybookServer(tools=rules)}))
    compiled = CompiledPlaybook(1, content, {"git": GIT}, 100)
    first = msgspec.json.decode(compiled.lists["tools/list"].result(LEGACY, None))["tools"][0]
    assert first == {"name": "git__history", "inputSchema": {"type": "object"}, "description": "new"}
    assert compiled.tools["git__history"].name == "log"


def test_a_definition_that_is_not_rewritten_is_passed_on_byte_for_byte() -> None:
    raw = b'{ "name" : "log",\n "inputSchema":{"type":"object","$defs":{"b":{},"a":{}}}, "x":1.0 }'
    tool = CatalogueItem(name="log", digest=digest_of_json(raw), raw=msgspec.Raw(raw))
    content = PlaybookContent(definition=PlaybookDefinition(servers={"git": PlaybookServer(names="bare")}))
    compiled = CompiledPlaybook(1, content, {"git": offering(tool)}, 100)
    assert raw in compiled.lists["tools/list"].result(MODERN, None)


def test_a_collision_names_both_owners_and_keeps_the_first() -> None:
    bare = PlaybookServer(names="bare")
    definition = PlaybookDefinition(servers={"git": bare, "hg": bare})
    exposure = expose(definition, {"git": offering(item("log")), "hg": offering(item("log"))})
    assert [str(c) for c in exposure.collisions] == ["tool 'log' comes from both 'git' and 'hg'"]
    assert exposure.tools["log"].server == "git"


def test_a_quarantined_tool_is_hidden_and_its_neighbours_are_not() -> None:
    definition = PlaybookDefinition(servers={"git": PlaybookServer()})
    assert list(expose(definition, {"git": offering(item("bad", "no schema"), item("good"))}).tools) == ["git__good"]


def test_a_name_over_64_characters_gets_the_same_alias_every_time() -> None:
    long = "x" * 80
    definition = PlaybookDefinition(servers={"git": PlaybookServer()})
    (first,) = expose(definition, {"git": offering(item(long))}).tools
    (second,) = expose(definition, {"git": offering(item(long), item("log"))}).tools.keys() - {"git__log"}
    assert first == second
    assert len(first) == 64


def test_stored_prompts_stand_beside_those_of_servers() -> None:
    definition = PlaybookDefinition(prompts={"hello": StoredPrompt(template="hi")})
    assert list(expose(definition, {}).prompts) == ["hello"]


def test_pages_follow_each_other_and_a_cursor_of_another_list_fails_cleanly() -> None:
    items = [b'{"n":%d}' % number for number in range(5)]
    prepared = PreparedList("tools", items, 2)
    seen, cursor = [], None
    while True:
        page = msgspec.json.decode(prepared.result(LEGACY, cursor))
        seen += [entry["n"] for entry in page["tools"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
        last = cursor
    assert seen == [0, 1, 2, 3, 4]
    changed = PreparedList("tools", [*items, b'{"n":9}'], 2)
    for bad in (last, "junk", "", "====", "Zm9v"):
        with pytest.raises(Problem) as refused:
            changed.result(LEGACY, bad)
        assert refused.value.code == "cursor.invalid"


@pytest.mark.parametrize(
    ("template", "matching", "other"),
    [
        ("test://template/{id}/data", "test://template/1/data", "test://template/1/2/data"),
        ("file:///{+path}", "file:///a/b/c", "http:///a"),
        ("db://t{?limit,offset}", "db://t?limit=1", "db://t/x"),
        ("a.b/{x}", "a.b/1", "aXb/1"),
    ],
)
def test_an_expansion_of_a_template_is_recognised(template: str, matching: str, other: str) -> None:
    assert template_pattern(template).fullmatch(matching)
    assert not template_pattern(template).fullmatch(other)
