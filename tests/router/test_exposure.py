from __future__ import annotations

import msgspec
import pytest

from callboard.contracts.calls import LEGACY, MODERN
from callboard.contracts.definitions import (
    CacheHint,
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
from callboard_router.catalogue.caching import caching_of
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.domain import content_of, expose, template_pattern
from callboard_router.catalogue.lists import PreparedList


def item(name: str, problem: str | None = None, **rest: object) -> CatalogueItem:
    raw = msgspec.Raw(msgspec.json.encode({"name": name, "inputSchema": {"type": "object"}, **rest}))
    return CatalogueItem(name=name, digest=digest_of_json(raw), raw=raw, problem=problem)


def offering(*tools: CatalogueItem) -> Catalogue:
    return Catalogue(era=MODERN, tools=tools)


GIT = offering(item("log", description="old"), item("status"), item("reset"))


def test_names_get_the_prefix_the_playbook_asks_for() -> None:
    for names, expected in (
        ("prefixed", "git__log"),
        ("double_underscore", "git__log"),
        ("dot", "git.log"),
        ("slash", "git/log"),
        ("bare", "log"),
        ("none", "log"),
        ("vcs", "vcs__log"),
        ("vcs.", "vcs.log"),
    ):
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


def test_two_tools_of_one_server_under_one_name_are_both_named() -> None:
    rules = ToolRules(rename={"log": "status"})
    exposure = expose(PlaybookDefinition(servers={"git": PlaybookServer(tools=rules)}), {"git": GIT})
    assert [str(c) for c in exposure.collisions] == ["tool 'git__status' is both 'log' and 'status' of 'git'"]


def bare(*servers: str) -> PlaybookDefinition:
    return PlaybookDefinition(servers={name: PlaybookServer(names="bare") for name in servers})


def everything(*names: str) -> Catalogue:
    """A server with one of each kind under each name."""
    items = tuple(item(name) for name in names)
    return Catalogue(era=MODERN, tools=items, prompts=items, resources=items, templates=items)


@pytest.mark.parametrize("kind", ["tools", "prompts", "resources", "templates"])
def test_a_published_name_stays_with_its_owner_whatever_others_offer_later(kind: str) -> None:
    definition = bare("first", "second")
    before = {"first": everything(), "second": everything("log")}
    published = content_of(definition, expose(definition, before))
    grown = expose(definition, {"first": everything("log", "new"), "second": everything("log")}, published)
    assert [(entry.wire, entry.server) for entry in getattr(grown, kind).values()] == [
        ("new", "first"),
        ("log", "second"),
    ]
    assert "'log' comes from both 'second' and 'first'" in str(grown.collisions[0])
    moved = expose(definition, {"first": everything("log"), "second": everything()}, published)
    assert getattr(moved, kind) == {}
    assert len(moved.collisions) == 4


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


def pages_of(prepared: PreparedList) -> tuple[list[int], list[str]]:
    seen: list[int] = []
    cursors: list[str] = []
    while True:
        page = msgspec.json.decode(prepared.result(LEGACY, cursors[-1] if cursors else None))
        seen += [entry["n"] for entry in page["tools"]]
        if "nextCursor" not in page:
            return seen, cursors
        cursors.append(page["nextCursor"])


ITEMS = [b'{"n":%d}' % number for number in range(5)]


@pytest.mark.parametrize(("size", "pages"), [(1, 5), (2, 3), (4, 2), (5, 1), (100, 1)])
def test_pages_follow_each_other(size: int, pages: int) -> None:
    seen, cursors = pages_of(PreparedList("tools", ITEMS, size, "acme/p"))
    assert seen == [0, 1, 2, 3, 4]
    assert len(cursors) == pages - 1


def test_a_cursor_is_of_one_list_of_one_playbook_as_it_was() -> None:
    _, cursors = pages_of(PreparedList("tools", ITEMS, 2, "acme/p"))
    same = PreparedList("tools", ITEMS, 2, "acme/p")
    assert same.result(LEGACY, cursors[0])
    others = [
        PreparedList("tools", [*ITEMS, b'{"n":9}'], 2, "acme/p"),
        PreparedList("prompts", ITEMS, 2, "acme/p"),
        PreparedList("tools", ITEMS, 2, "acme/q"),
        PreparedList("tools", ITEMS, 2, "else/p"),
    ]
    tampered = [cursors[0][:-1] + "x", cursors[0].upper(), cursors[0] + " ", "junk", "", "0", "é"]
    for prepared, cursor in [*((other, cursors[0]) for other in others), *((same, bad) for bad in tampered)]:
        with pytest.raises(Problem) as refused:
            prepared.result(LEGACY, cursor)
        assert refused.value.code == "cursor.invalid"


HINTS = {"short": ("public", 1_000), "long": ("public", 9_000), "own": ("private", 5_000)}


def hinting(name: str) -> Catalogue:
    scope, ttl = HINTS[name]
    hint = CacheHint(ttl_ms=ttl, scope=scope)  # type: ignore[arg-type]  # one of the two
    return Catalogue(era=MODERN, tools=(item(name),), caching={"tools": hint})


@pytest.mark.parametrize(
    ("servers", "access", "expected"),
    [
        (["long"], "anonymous", (9_000, "public")),
        (["long"], "token", (9_000, "private")),
        (["long", "short"], "anonymous", (1_000, "public")),
        (["long", "own"], "anonymous", (5_000, "private")),
        (["long", "silent"], "anonymous", (0, "private")),
        (["long", "away"], "anonymous", (0, "private")),
        (["long", "without"], "anonymous", (9_000, "public")),
        (["without"], "anonymous", (0, "private")),
    ],
)
def test_a_list_may_be_kept_as_long_as_every_server_said(
    servers: list[str], access: str, expected: tuple[int, str]
) -> None:
    definition = PlaybookDefinition(access=access, servers={name: PlaybookServer() for name in servers})  # type: ignore[arg-type]
    known = {name: hinting(name) for name in HINTS} | {
        "silent": offering(item("x")),
        "without": Catalogue(era=MODERN, capabilities=msgspec.Raw(b'{"prompts":{}}')),
    }
    found = caching_of("tools", definition, known)
    assert (found.ttl_ms, found.scope) == expected
    compiled = CompiledPlaybook(1, PlaybookContent(definition=definition), known, 100)
    page = msgspec.json.decode(compiled.lists["tools/list"].result(MODERN, None))
    assert (page["ttlMs"], page["cacheScope"]) == expected
    assert "ttlMs" not in msgspec.json.decode(compiled.lists["tools/list"].result(LEGACY, None))


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
