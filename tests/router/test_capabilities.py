from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from callboard.contracts.calls import LEGACY, LISTEN, MODERN, RpcHead, TaskOwner, task_id
from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    PlaybookContent,
    PlaybookDefinition,
    PlaybookServer,
    ToolRules,
)
from callboard.contracts.problems import Problem
from callboard_router.calls.resolve import Target, resolve
from callboard_router.catalogue.compiled import DEFAULT_LIMITS, CompiledPlaybook

TASKS, UI = "io.modelcontextprotocol/tasks", "io.modelcontextprotocol/ui"
DECLARED = b'{"extensions":{"io.modelcontextprotocol/tasks":{}}}'


def catalogue(capabilities: Any, era: str = MODERN, tools: tuple[CatalogueItem, ...] = ()) -> Catalogue:
    return Catalogue(era=era, capabilities=msgspec.Raw(json.dumps(capabilities).encode()), tools=tools)


def compiled(catalogues: dict[str, Catalogue], **uses: PlaybookServer) -> CompiledPlaybook:
    servers = {name: uses.get(name, PlaybookServer()) for name in catalogues}
    return CompiledPlaybook(
        1, PlaybookContent(definition=PlaybookDefinition(servers=servers)), catalogues, 100, place="acme/mine"
    )


def said(**catalogues: Catalogue) -> tuple[dict[str, Any], dict[str, Any]]:
    opened = json.loads(compiled(catalogues).opened)
    return opened["capabilities"], opened["tasks"]


def test_an_extension_of_one_server_is_declared_with_its_settings() -> None:
    settings = {"a": [1, {"b": None}], "c": 1.5}
    capabilities, _ = said(a=catalogue({"extensions": {"org.example/x": settings, TASKS: {}}}), b=catalogue({}))
    assert capabilities["extensions"] == {"org.example/x": settings, TASKS: {}}
    assert "extensions" not in said(a=catalogue({"tools": {}}))[0]


def test_of_two_servers_with_one_extension_each_is_heard() -> None:
    first = {UI: {"mimeTypes": ["a", "b"], "mode": "one", "deep": {"x": 1}, "on": False}}
    second = {UI: {"mimeTypes": ["b", "c"], "mode": "two", "deep": {"y": 2}, "on": True}, TASKS: {}}
    capabilities, _ = said(a=catalogue({"extensions": first}), b=catalogue({"extensions": second}))
    united = {"mimeTypes": ["a", "b", "c"], "mode": "one", "deep": {"x": 1, "y": 2}, "on": True}
    assert capabilities["extensions"] == {UI: united, TASKS: {}}


def test_a_server_that_is_switched_off_declares_nothing() -> None:
    off = compiled({"a": catalogue({"extensions": {TASKS: {}}})}, a=PlaybookServer(enabled=False))
    assert "extensions" not in json.loads(off.opened)["capabilities"]
    assert not off.makes_tasks


def test_nonsense_in_place_of_capabilities_is_left_out() -> None:
    for nonsense in ([], {"extensions": 7}, {"extensions": None, "tasks": "x"}):
        capabilities, tasks = said(a=catalogue(nonsense, LEGACY))
        assert "extensions" not in capabilities
        assert tasks == {}


def test_tasks_of_the_handshake_era_are_declared_apart_and_without_a_list() -> None:
    declared = {"tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}}
    capabilities, tasks = said(a=catalogue(declared, LEGACY), b=catalogue(declared, MODERN))
    assert "tasks" not in capabilities
    assert tasks == {"cancel": {}, "requests": {"tools": {"call": {}}}}
    assert said(b=catalogue(declared, MODERN))[1] == {}


def head(method: str, era: str = MODERN, capabilities: bytes = DECLARED) -> RpcHead:
    return RpcHead("id", method, era, "c", "k", 1, 1, capabilities=capabilities)


MAKING = compiled({"a": catalogue({"extensions": {TASKS: {}}})})
PLAIN = compiled({"a": catalogue({})})
OURS = task_id(TaskOwner("mine", "gone", "w1", "run"), "AAAA")


def refused(asked: RpcHead, params: Any, playbook: CompiledPlaybook = MAKING) -> Problem:
    with pytest.raises(Problem) as refusal:
        resolve(asked, json.dumps(params).encode(), playbook)
    return refusal.value


@pytest.mark.parametrize("playbook", [MAKING, PLAIN], ids=["making", "plain"])
def test_a_task_goes_to_the_server_that_its_id_names_whatever_the_playbook_holds_now(
    playbook: CompiledPlaybook,
) -> None:
    found = resolve(head("tasks/get"), json.dumps({"taskId": OURS}).encode(), playbook)
    assert found == Target("gone", "", "", "", DEFAULT_LIMITS._replace(idle=0), "w1", is_task=True)
    listening = {"notifications": {"taskIds": [OURS]}}
    assert resolve(head(LISTEN), json.dumps(listening).encode(), playbook) == found


def test_a_task_that_is_none_of_ours_is_unknown_and_where_there_are_no_tasks_so_is_the_method() -> None:
    for id in ("x", "cbt2.mine.UP!.-.AAAA", "cbt2.mine.up.a b.AAAA", "cbt2.up.-.AAAA"):
        assert refused(head("tasks/get"), {"taskId": id}).code == "task.unknown"
    assert refused(head("tasks/get"), {"taskId": "x"}, PLAIN).code == "method.unknown"
    assert refused(head("tasks/get"), {}).code == "argument.invalid"


@pytest.mark.parametrize("playbook", [MAKING, PLAIN], ids=["making", "plain"])
def test_a_task_of_another_playbook_is_unknown(playbook: CompiledPlaybook) -> None:
    theirs = task_id(TaskOwner("theirs", "a", "w1", "run"), "AAAA")
    never = refused(head("tasks/get"), {"taskId": "never-heard-of"})
    listening = {"notifications": {"taskIds": [theirs]}}
    for method, params in (
        ("tasks/get", {"taskId": theirs}),
        ("tasks/cancel", {"taskId": theirs}),
        (LISTEN, listening),
    ):
        problem = refused(head(method), params, playbook)
        assert (problem.code, problem.message, problem.data) == (never.code, never.message, never.data)


def test_a_stateless_client_must_declare_the_extension() -> None:
    for capabilities in (b"{}", b'{"extensions":{}}', b"nonsense"):
        problem = refused(head("tasks/cancel", capabilities=capabilities), {"taskId": OURS})
        assert problem.rpc_code == -32021
        assert problem.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    found = resolve(head("tasks/cancel", LEGACY, b"{}"), json.dumps({"taskId": OURS}).encode(), MAKING)
    assert isinstance(found, Target)


def app(name: str, meta: Any) -> CatalogueItem:
    raw = json.dumps({"name": name, "inputSchema": {"type": "object"}, "_meta": meta}).encode()
    return CatalogueItem(name=name, digest="d", raw=msgspec.Raw(raw))


def test_an_app_that_is_not_listed_is_its_tools_servers() -> None:
    resources = {"resources": {}}
    shown = compiled(
        {
            "a": catalogue(resources, tools=(app("t", {"ui": {"resourceUri": "ui://a/t"}}),)),
            "b": catalogue(resources, tools=(app("t", {"ui/resourceUri": "ui://b/t"}), app("u", {"ui": 7}))),
            "c": catalogue(resources, tools=(app("t", {"ui": {"resourceUri": "ui://a/t"}}),)),
        }
    )
    assert shown.resource_server("ui://a/t") == ("a", "")
    assert shown.resource_server("ui://b/t") == ("b", "")
    with pytest.raises(Problem):
        shown.resource_server("ui://c/t")


def test_an_app_of_a_tool_that_is_not_shown_is_nobodys() -> None:
    resources = {"resources": {}}
    tool = app("t", {"ui": {"resourceUri": "ui://a/t"}})
    hidden = PlaybookServer(tools=ToolRules(deny=("t",)))
    playbook = compiled({"a": catalogue(resources, tools=(tool,)), "b": catalogue(resources)}, a=hidden)
    with pytest.raises(Problem):
        playbook.resource_server("ui://a/t")
