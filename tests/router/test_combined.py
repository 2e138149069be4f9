"""Several playbooks as one: names that never meet, one owner for each URI, and each playbook's own rules."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.contracts.calls import LEGACY, LISTEN, MODERN, RpcHead, TaskOwner, task_id
from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    PlaybookContent,
    PlaybookDefinition,
    PlaybookServer,
    StoredPrompt,
    ToolRules,
)
from callboard.contracts.playbooks import Opened
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of_json
from callboard.kernel.extensions import TASKS
from callboard.kernel.names import is_slug, prefix_among, wire_name
from callboard_router.calls.among import resolve_among
from callboard_router.calls.resolve import Answer, Target, resolve
from callboard_router.catalogue.combined import CombinedPlaybooks, Part
from callboard_router.catalogue.compiled import CompiledPlaybook

SLUGS = st.from_regex(r"[ab_-]{1,6}", fullmatch=True).filter(is_slug)
NAMES = st.from_regex(r"[abU_-]{1,6}", fullmatch=True)


def item(name: str, key: str = "name", **rest: Any) -> CatalogueItem:
    raw = msgspec.Raw(msgspec.json.encode({key: name, **rest}))
    return CatalogueItem(name=name, digest=digest_of_json(raw), raw=raw)


def tool(name: str) -> CatalogueItem:
    return item(name, inputSchema={"type": "object", "properties": {"n": {"type": "integer"}}})


def compiled(
    name: str,
    version: int = 1,
    servers: dict[str, PlaybookServer] | None = None,
    *,
    makes_tasks: bool = False,
    **rest: Any,
) -> Any:
    """A playbook over server `git`, or others, with two tools, a prompt, a resource and a template each."""
    uses = servers or {"git": PlaybookServer()}
    declared: dict[str, Any] = {"tools": {}, "resources": {}, "completions": {}}
    if makes_tasks:
        declared["extensions"] = {TASKS: {}}
    catalogues = {
        server: Catalogue(
            era=MODERN,
            tools=(tool("log"), tool("reset")),
            prompts=(item("sum"),),
            resources=(item(f"{server}://head", "uri", title="head"),),
            templates=(item(f"{server}://{{rev}}/x", "uriTemplate", title="rev"),),
            capabilities=msgspec.Raw(msgspec.json.encode(declared)),
            instructions=f"about {server}",
        )
        for server in uses
    }
    content = PlaybookContent(definition=PlaybookDefinition(servers=uses, **rest))
    return CompiledPlaybook(version, content, catalogues, 100, place=f"acme/{name}")


def combined(*playbooks: Any, page_size: int = 100) -> CombinedPlaybooks:
    return CombinedPlaybooks("acme", [Part(playbook) for playbook in playbooks], page_size)


def ask(union: CombinedPlaybooks, method: str, **params: Any) -> tuple[Any, Any]:
    """The playbook that decided and what it decided, or None and the result for all."""
    head = RpcHead("id", method, LEGACY, "c", "k", 0, 0, selection="*")
    body = msgspec.json.encode(params)
    owner = resolve_among(head, body, union)
    if isinstance(owner, bytes):
        return None, msgspec.json.decode(owner)
    return owner, resolve(head, body, owner)


def listed(union: CombinedPlaybooks, kind: str) -> list[str]:
    found = ask(union, f"{kind}/list")[1]
    (items,) = [value for value in found.values() if isinstance(value, list)]
    return [one.get("name") or one.get("uri") or one["uriTemplate"] for one in items]


@given(st.tuples(SLUGS, NAMES), st.tuples(SLUGS, NAMES))
def test_two_playbooks_never_have_the_same_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    def full(pair: tuple[str, str]) -> str:
        return wire_name(prefix_among(pair[0]), pair[1])

    assert (full(one) == full(other)) is (one == other)


def test_the_name_of_the_playbook_stands_in_front() -> None:
    assert prefix_among("start") == "start__"
    assert prefix_among("a_b") == "a_b__"
    assert prefix_among("a___b") == "a_UUb__"


def test_each_playbook_keeps_its_own_filters_version_and_names() -> None:
    quiet = PlaybookServer(names="bare", tools=ToolRules(deny=("reset",)))
    union = combined(compiled("all", 4), compiled("safe", 7, {"git": quiet}))
    assert listed(union, "tools") == ["all__git__log", "all__git__reset", "safe__log"]
    owner, target = ask(union, "tools/call", name="safe__log", arguments={})
    assert (owner.name, owner.version) == ("safe", 7)
    assert (target.server, target.upstream_name, target.wire_name) == ("git", "log", "log")
    owner, target = ask(union, "tools/call", name="all__git__reset", arguments={})
    assert (owner.name, owner.version, target.wire_name) == ("all", 4, "git__reset")
    for name in ("safe__reset", "git__log", "log", "other__log"):
        with pytest.raises(Problem, match=f"Unknown tool: {name}"):
            ask(union, "tools/call", name=name, arguments={})


def test_arguments_are_judged_with_the_name_that_the_caller_used_and_recorded_under_the_playbooks_own() -> None:
    _, answer = ask(combined(compiled("a")), "tools/call", name="a__git__log", arguments={"n": "x"})
    assert isinstance(answer, Answer)
    assert "Invalid arguments for tool a__git__log" in msgspec.json.decode(answer.result)["content"][0]["text"]
    assert answer.wire_name == "git__log"


def test_a_list_says_the_new_name_and_leaves_the_rest_of_a_definition() -> None:
    found = ask(combined(compiled("a")), "tools/list")[1]["tools"][0]
    assert found == {"name": "a__git__log", "inputSchema": msgspec.json.decode(tool("log").raw)["inputSchema"]}


def test_prompts_and_completions_find_their_playbook() -> None:
    stored = {"hello": StoredPrompt(template="Hi")}
    union = combined(compiled("a"), compiled("b", prompts=stored))
    assert listed(union, "prompts") == ["a__git__sum", "b__hello", "b__git__sum"]
    owner, target = ask(union, "prompts/get", name="b__git__sum")
    assert (owner.name, target.upstream_name, target.wire_name) == ("b", "sum", "git__sum")
    _, answer = ask(union, "prompts/get", name="b__hello")
    assert msgspec.json.decode(answer.result)["messages"][0]["content"]["text"] == "Hi"
    owner, target = ask(union, "completion/complete", ref={"type": "ref/prompt", "name": "a__git__sum"})
    assert (owner.name, target.upstream_name) == ("a", "sum")
    owner, target = ask(union, "completion/complete", ref={"type": "ref/resource", "uri": "git://{rev}/x"})
    assert (owner.name, target.server) == ("a", "git")
    for ref in ({"type": "ref/prompt", "name": "sum"}, {"type": "ref/resource", "uri": "x://"}, {"type": "?"}):
        with pytest.raises(Problem):
            ask(union, "completion/complete", ref=ref)


def test_a_uri_is_listed_once_and_belongs_to_the_first_playbook_that_has_it() -> None:
    both = {"git": PlaybookServer(), "hg": PlaybookServer()}
    union = combined(compiled("a"), compiled("b", servers=both))
    assert listed(union, "resources") == ["git://head", "hg://head"]
    assert listed(union, "resources/templates") == ["git://{rev}/x", "hg://{rev}/x"]
    for uri, owner, server in (
        ("git://head", "a", "git"),
        ("hg://head", "b", "hg"),
        ("git://7/x", "a", "git"),
        ("hg://7/x", "b", "hg"),
    ):
        found, target = ask(union, "resources/read", uri=uri)
        assert isinstance(target, Target)
        assert (found.name, target.server) == (owner, server), uri
    with pytest.raises(Problem, match="no server of your playbooks"):
        ask(union, "resources/read", uri="x://unlisted")
    alone, target = ask(combined(compiled("a"), compiled("b")), "callboard/owner", uri="x://unlisted")
    assert alone.name == "a"
    assert msgspec.json.decode(target.result)["server"] == "git"


def test_what_a_client_learns_when_it_connects_is_that_of_all() -> None:
    union = combined(compiled("a", title="First"), compiled("b", instructions="Be brief"))
    opened = msgspec.json.decode(union.opened, type=Opened)
    assert opened.title == "acme"
    assert set(msgspec.json.decode(opened.capabilities)) == {"tools", "prompts", "resources", "completions"}
    first, second = opened.instructions.split("\n\n# ")
    assert first == "# First\n\nNames that begin with `a__`.\n\nabout git"
    assert second == "b\n\nNames that begin with `b__`.\n\nBe brief\n\nabout git"


def test_no_playbook_yet_is_an_empty_union() -> None:
    union = combined()
    assert listed(union, "tools") == []
    assert msgspec.json.decode(union.opened, type=Opened).instructions == ""


def test_the_digests_tell_whether_a_part_changed() -> None:
    before = msgspec.json.decode(combined(compiled("a"), compiled("b")).opened, type=Opened).etags
    same = msgspec.json.decode(combined(compiled("a", 9), compiled("b")).opened, type=Opened).etags
    other = msgspec.json.decode(combined(compiled("a"), compiled("c")).opened, type=Opened).etags
    assert before == same
    assert [kind for kind in before if before[kind] != other[kind]] == ["tools", "prompts"]


def test_pages_of_a_union_are_cut_like_those_of_a_playbook() -> None:
    union = combined(compiled("a"), compiled("b"), page_size=3)
    first = ask(union, "tools/list")[1]
    rest = ask(union, "tools/list", cursor=first["nextCursor"])[1]
    assert [len(first["tools"]), len(rest["tools"])] == [3, 1]
    with pytest.raises(Problem, match="not one of this list as it is now"):
        ask(combined(compiled("a"), compiled("c"), page_size=3), "tools/list", cursor=first["nextCursor"])


def test_of_two_equal_aliases_neither_stands_for_the_other() -> None:
    content = PlaybookContent(definition=PlaybookDefinition(servers={"s": PlaybookServer(names="bare")}))
    part = Part(CompiledPlaybook(1, content, {"s": Catalogue(era=MODERN, tools=(tool("log"),))}, 100, place="acme/a"))
    part.tools = [("a__alias", b"1"), ("a__log", b"3"), ("a__alias", b"2")]
    union = CombinedPlaybooks("acme", [part], 100)
    assert list(union.tools) == ["a__log"]
    assert b"1" not in union.lists["tools/list"].result(LEGACY, None)


ABOUT_TASKS = ("tasks/get", "tasks/update", "tasks/cancel", "tasks/result", LISTEN)


def about_task(union: CombinedPlaybooks, method: str, id: str) -> tuple[str, Target]:
    """The playbook that a request about this task is resolved by, and where it goes."""
    capabilities = msgspec.json.encode({"extensions": {TASKS: {}}})
    head = RpcHead("id", method, MODERN, "c", "k", 0, 0, selection="*", capabilities=capabilities)
    body = msgspec.json.encode({"notifications": {"taskIds": [id]}} if method == LISTEN else {"taskId": id})
    owner = resolve_among(head, body, union)
    assert isinstance(owner, CompiledPlaybook)
    target = resolve(head, body, owner)
    assert isinstance(target, Target)
    return owner.name, target


@pytest.mark.parametrize("method", ABOUT_TASKS)
def test_a_task_goes_to_the_playbook_that_made_it_whoever_else_has_its_server(method: str) -> None:
    jobs = {"jobs": PlaybookServer()}
    union = combined(*(compiled(name, servers=jobs, makes_tasks=True) for name in ("a", "b")), compiled("c"))
    for playbook in ("a", "b", "c"):
        owner, target = about_task(union, method, task_id(TaskOwner(playbook, "jobs", "w1", "run"), "AAAA"))
        assert (owner, target.server, target.holder, target.is_task) == (playbook, "jobs", "w1", True)


@pytest.mark.parametrize("method", ABOUT_TASKS)
def test_a_task_of_a_playbook_that_the_token_does_not_open_is_unknown(method: str) -> None:
    union = combined(*(compiled(name, servers={"jobs": PlaybookServer()}, makes_tasks=True) for name in ("a", "b")))
    for id in (task_id(TaskOwner("z", "jobs", "w1", "run"), "AAAA"), "never-heard-of"):
        with pytest.raises(Problem) as refused:
            about_task(union, method, id)
        assert (refused.value.code, refused.value.message) == ("task.unknown", "Task not found")
        with pytest.raises(Problem) as refused:
            about_task(combined(compiled("a")), method, id)
        assert refused.value.code == "method.unknown"


def test_a_listening_request_is_for_one_task() -> None:
    ids = [task_id(TaskOwner(playbook, "jobs", "w1", "run"), "AAAA") for playbook in ("a", "b")]
    body = msgspec.json.encode({"notifications": {"taskIds": ids}})
    with pytest.raises(Problem) as refused:
        resolve_among(RpcHead("id", LISTEN, MODERN, "c", "k", 0, 0), body, combined(compiled("a"), compiled("b")))
    assert refused.value.code == "argument.invalid"


def test_the_extensions_of_all_parts_are_told() -> None:
    union = combined(compiled("a"), compiled("b", makes_tasks=True))
    opened = msgspec.json.decode(union.opened, type=Opened)
    assert TASKS in msgspec.json.decode(opened.capabilities)["extensions"]
