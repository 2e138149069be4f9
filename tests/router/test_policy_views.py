"""Playbooks as policies leave them: what is denied is not there, for whatever asks."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from callboard.contracts.calls import LEGACY, LISTEN, MODERN, TASK_METHODS, RpcHead, TaskOwner, task_id
from callboard.contracts.definitions import (
    Catalogue,
    CatalogueItem,
    PlaybookContent,
    PlaybookDefinition,
    PlaybookServer,
    ServerDefinition,
    StoredPrompt,
    StoredResource,
    ToolOverride,
    ToolRules,
)
from callboard.contracts.events import (
    EventMeta,
    OrganisationCreated,
    PlaybookPublished,
    Recorded,
    ServerCatalogueDiscovered,
    ServerRegistered,
)
from callboard.contracts.policy_definitions import (
    ArgumentRule,
    PolicyCallers,
    PolicyDefinition,
    Rights,
    StepUpRule,
    Window,
)
from callboard.contracts.policy_events import PolicyRemoved, PolicySet, ServerSwitched
from callboard.contracts.problems import Problem
from callboard_router.calls.among import resolve_among
from callboard_router.calls.resolve import Answer, Target, resolve
from callboard_router.catalogue.deadlines import Limits
from callboard_router.catalogue.served import Served
from callboard_router.policies.view import View
from callboard_router.state import RouterState
from tests.contracts.golden import WHEN
from tests.router.test_combined import item

BOT = PolicyCallers(clients=("bot",))
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def tool(name: str, **annotations: Any) -> CatalogueItem:
    return item(name, inputSchema=SCHEMA, **({"annotations": annotations} if annotations else {}))


def catalogue(server: str) -> Catalogue:
    return Catalogue(
        era=MODERN,
        tools=(tool("log", readOnlyHint=True), tool("reset"), tool("odd", readOnlyHint="yes")),
        prompts=(item("sum"),),
        resources=(item(f"{server}://head", "uri", title="head"),),
        templates=(item(f"{server}://docs/{{+path}}", "uriTemplate", title="docs"),),
        capabilities=msgspec.Raw(
            b'{"tools":{},"resources":{},"completions":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}'
        ),
    )


class World:
    """A router's memory: two playbooks over two servers, and whatever is said of them later."""

    def __init__(self, *policies: tuple[str, PolicyDefinition]) -> None:
        self.state = RouterState()
        self.served = Served(self.state, 100, Limits(1000, 1000))
        self._seq = 0
        uses = {name: PlaybookServer(names="bare") for name in ("git",)}
        both = {name: PlaybookServer() for name in ("git", "time")}
        stored = {"prompts": {"own": StoredPrompt(template="hi")}, "resources": {"doc://a": StoredResource(text="a")}}
        self.happens(OrganisationCreated(organisation="acme"))
        for name in both:
            self.happens(ServerRegistered(server=name, definition=ServerDefinition(url="http://h/mcp")))
            self.happens(ServerCatalogueDiscovered(server=name, digest=name, catalogue=catalogue(name)))
        for name, servers in (("one", uses), ("two", both)):
            content = PlaybookContent(definition=PlaybookDefinition(servers=servers, **stored))
            self.happens(PlaybookPublished(playbook=name, version=1, content=content, content_digest=name))
        for name, definition in policies:
            self.happens(PolicySet(policy=name, definition=definition))

    def happens(self, event: Any) -> list[Any]:
        self._seq += 1
        recorded = Recorded(
            organisation="acme", seq=self._seq, event_id=str(self._seq), stream="s", version=self._seq, type="t",
            schema_version=1, recorded_at=WHEN, meta=EventMeta(actor="a"), event=event,
        )  # fmt: skip
        return self.served.compile(self.state.apply([recorded]), self._seq)

    def ask(
        self,
        method: str,
        playbook: str = "one",
        client: str = "bot",
        era: str = MODERN,
        scopes: tuple[str, str] = ("", ""),
        **params: Any,
    ) -> Any:
        """What becomes of a request: a target, an answer as data, or the code of the problem."""
        selection = "*" if playbook == "*" else ""
        capable = b'{"extensions":{"io.modelcontextprotocol/tasks":{}}}'
        head = RpcHead("id", method, era, client, "k", 0, 0, selection=selection, member="m", capabilities=capable)
        head = msgspec.structs.replace(head, scopes=scopes)
        body = msgspec.json.encode(params)
        try:
            if selection:
                found = resolve_among(head, body, self.served.select("acme", head))
                if isinstance(found, bytes):
                    return msgspec.json.decode(found)
            else:
                found = self.served.find("acme", playbook, head)
            outcome = resolve(head, body, found)
        except Problem as problem:
            return problem.code
        return msgspec.json.decode(outcome.result) if isinstance(outcome, Answer) else outcome

    def listed(self, kind: str, **asked: Any) -> list[str]:
        found = self.ask(f"{kind}/list", **asked)
        (items,) = [value for value in found.values() if isinstance(value, list)]
        return [one.get("name") or one.get("uri") or one["uriTemplate"] for one in items]


def rights(*allow: str, deny: tuple[str, ...] = ()) -> Rights:
    return Rights(allow=allow, deny=deny)


ONLY_LOG = PolicyDefinition(callers=BOT, tools=rights("git/log"))


@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_what_is_denied_is_neither_listed_nor_found_whatever_asks(era: str) -> None:
    world = World(("p", ONLY_LOG))
    asked = {"era": era}
    assert world.listed("tools", **asked) == ["log"]
    for kind in ("prompts", "resources", "resources/templates"):
        assert world.listed(kind, **asked) == []
    assert isinstance(world.ask("tools/call", name="log", arguments={}, **asked), Target)
    assert world.ask("tools/call", name="reset", arguments={}, **asked) == "tool.unknown"
    assert world.ask("tools/call", name="never", arguments={}, **asked) == "tool.unknown"
    for prompt in ("sum", "own"):
        assert world.ask("prompts/get", name=prompt, **asked) == "prompt.unknown"
        assert world.ask("completion/complete", ref={"type": "ref/prompt", "name": prompt}, **asked) == "prompt.unknown"
    for uri in ("git://head", "doc://a", "git://docs/x", "git://other"):
        assert world.ask("resources/read", uri=uri, **asked) == "resource.unknown"
        assert world.ask("callboard/owner", uri=uri, **asked) == "resource.unknown", "nor subscribed to"
        assert world.ask("completion/complete", ref={"type": "ref/resource", "uri": uri}, **asked) == "resource.unknown"
    template = {"type": "ref/resource", "uri": "git://docs/{+path}"}
    assert world.ask("completion/complete", ref=template, **asked) == "resource.unknown"


def test_others_have_what_they_had() -> None:
    world, before = World(("p", ONLY_LOG)), World()
    for method in ("tools", "prompts", "resources", "resources/templates"):
        assert world.listed(method, client="ann") == before.listed(method, client="ann")
    assert isinstance(world.ask("tools/call", name="reset", arguments={}, client="ann"), Target)
    assert isinstance(world.ask("resources/read", uri="git://docs/x", client="ann"), Target)


def test_without_policies_nothing_is_looked_at_but_that_there_are_none() -> None:
    world = World()
    head = RpcHead("id", "tools/list", MODERN, "bot", "k", 0, 0)
    found = world.served.find("acme", "one", head)
    assert found.policing is None
    assert found is world.served.all()[("acme", "one")]
    world.happens(PolicySet(policy="p", definition=PolicyDefinition(playbooks=("two",), tools=rights())))
    assert world.served.find("acme", "one", head).policing is None, "it is about the other playbook"
    assert world.served.find("acme", "one", head) is found, "and nothing was compiled again"


def test_callers_with_the_same_policies_share_one_view_and_it_is_made_once() -> None:
    world = World(("p", ONLY_LOG), ("q", PolicyDefinition(read_only=True)))
    heads = [RpcHead("id", "tools/list", MODERN, client, "k", 0, 0) for client in ("ann", "bob", "bot")]
    ann, bob, bot = (world.served.find("acme", "one", head) for head in heads)
    assert ann is bob
    assert bot is not ann
    assert world.served.find("acme", "one", heads[2]) is bot


def test_a_policy_that_is_set_or_removed_holds_at_once_and_is_told_as_different_for_each() -> None:
    world = World()
    (told, other) = world.happens(PolicySet(policy="p", definition=ONLY_LOG))
    assert {told.playbook, other.playbook} == {"one", "two"}
    assert told.divided
    assert world.listed("tools") == ["log"]
    opened, anns = world.ask("callboard/open"), world.ask("callboard/open", client="ann")
    assert opened["divided"] is anns["divided"] is True
    assert opened["etags"] != anns["etags"]
    assert world.happens(PolicyRemoved(policy="p"))
    assert world.listed("tools") == ["log", "reset", "odd"]
    assert not world.ask("callboard/open").get("divided")


def test_a_server_that_is_switched_off_takes_all_it_has_with_it_and_its_tasks() -> None:
    world = World()
    id = task_id(TaskOwner("two", "git", "", "reset"), "sealed")
    assert isinstance(world.ask("tasks/get", "two", taskId=id), Target)
    world.happens(ServerSwitched(server="git", on=False))
    assert world.listed("tools", playbook="two") == ["time__log", "time__reset", "time__odd"]
    assert world.listed("prompts", playbook="two") == ["own", "time__sum"]
    assert world.ask("resources/read", "two", uri="git://head") == "resource.unknown"
    assert isinstance(world.ask("resources/read", "two", uri="time://head"), Target)
    assert world.ask("tasks/get", "two", taskId=id) == "task.unknown"
    world.happens(ServerSwitched(server="git", on=True))
    assert isinstance(world.ask("resources/read", "two", uri="git://head"), Target)


def asked_after(world: World, tool: str, **asked: Any) -> set[Any]:
    """What every request about a task of this tool comes to."""
    id = task_id(TaskOwner("two", "git", "", tool), "sealed")
    methods = [*sorted(TASK_METHODS), LISTEN]
    about: dict[str, Any] = {"taskId": id, "notifications": {"taskIds": [id]}}
    found = [world.ask(method, asked.pop("playbook", "two"), **about, **asked) for method in methods]
    return {"sent on" if isinstance(one, Target) else one for one in found}


@pytest.mark.parametrize("era", [MODERN, LEGACY])
@pytest.mark.parametrize("playbook", ["two", "*"])
def test_what_a_tool_began_is_judged_again_when_it_is_asked_for(era: str, playbook: str) -> None:
    world, asked = World(), {"era": era, "playbook": playbook}
    assert asked_after(world, "reset", **asked) == asked_after(world, "gone since", **asked) == {"sent on"}
    world.happens(PolicySet(policy="p", definition=ONLY_LOG))
    assert asked_after(world, "log", **asked) == {"sent on"}
    assert asked_after(world, "reset", **asked) == {"task.unknown"}
    assert asked_after(world, "gone since", **asked) == {"task.unknown"}, "of a tool that is not there its name counts"
    assert asked_after(world, "reset", client="ann", **asked) == {"sent on"}
    world.happens(PolicySet(policy="p", definition=PolicyDefinition(callers=BOT, read_only=True)))
    assert asked_after(world, "log", **asked) == {"sent on"}
    assert asked_after(world, "reset", **asked) == {"task.unknown"}
    world.happens(PolicyRemoved(policy="p"))
    assert asked_after(world, "reset", **asked) == {"sent on"}


def test_what_a_tool_began_that_wants_another_scope_now_wants_it_too() -> None:
    world = World()
    rule = StepUpRule(tools=("git/reset",), scope="mcp:operate")
    world.happens(PolicySet(policy="p", definition=PolicyDefinition(step_up=(rule,))))
    assert asked_after(world, "log") == asked_after(world, "reset", scopes=("mcp:operate", "")) == {"sent on"}
    assert asked_after(world, "reset", scopes=("mcp:use", "mcp:operate")) == {"auth.scope_insufficient"}
    assert asked_after(world, "reset", scopes=("mcp:use", "mcp:use")) == {"task.unknown"}


def test_a_result_that_was_given_out_after_a_denial_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "admits_task", lambda *given: True)
    with pytest.raises(AssertionError):
        test_what_a_tool_began_is_judged_again_when_it_is_asked_for(MODERN, "two")


def test_the_union_is_made_of_what_each_playbook_is_for_the_caller() -> None:
    world = World(("p", PolicyDefinition(callers=BOT, playbooks=("two",), tools=rights("git/*", deny=("*/reset",)))))
    assert world.listed("tools", playbook="*") == [
        "one__log",
        "one__reset",
        "one__odd",
        "two__git__log",
        "two__git__odd",
    ]
    assert world.listed("prompts", playbook="*") == ["one__own", "one__sum"]
    assert isinstance(world.ask("tools/call", "*", name="two__git__log", arguments={}), Target)
    assert world.ask("tools/call", "*", name="two__git__reset", arguments={}) == "tool.unknown"
    assert world.ask("resources/read", "*", uri="time://head") == "resource.unknown"
    assert len(world.listed("tools", playbook="*", client="ann")) == 9
    world.happens(PolicyRemoved(policy="p"))
    assert len(world.listed("tools", playbook="*")) == 9


def test_read_only_is_what_agents_are_told_and_what_is_not_told_may_write() -> None:
    world = World(("p", PolicyDefinition(read_only=True)))
    assert world.listed("tools") == ["log"], "`yes` is not true"
    saying = ToolRules(override={"reset": ToolOverride(annotations={"readOnlyHint": True})})
    uses = {"git": PlaybookServer(names="bare", tools=saying)}
    content = PlaybookContent(definition=PlaybookDefinition(servers=uses))
    world.happens(PlaybookPublished(playbook="one", version=2, content=content, content_digest="2"))
    assert world.listed("tools") == ["log", "reset"]
    assert world.listed("prompts") == ["sum"]


def test_a_resource_is_judged_by_its_own_uri_and_not_by_the_template_that_has_it() -> None:
    world = World(("p", PolicyDefinition(resources=rights("git/git://docs/public/*"))))
    assert isinstance(world.ask("resources/read", uri="git://docs/public/a"), Target)
    for uri in (
        "git://docs/secret",
        "git://docs/public/../secret",
        "git://docs/public/%2e%2e/secret",
        "git://docs/public/%252e%252e/secret",
        "git://docs/public/..\\secret",
        "git://head",
    ):
        assert world.ask("resources/read", uri=uri) == "resource.unknown", uri
        assert world.ask("callboard/owner", uri=uri) == "resource.unknown", uri


def test_a_call_with_other_arguments_gets_a_tool_error_that_names_the_rule_and_no_value() -> None:
    rule = ArgumentRule(argument="n", name="small", values=(1, 2))
    world = World(("p", PolicyDefinition(callers=BOT, arguments=(rule,))))
    assert isinstance(world.ask("tools/call", name="log", arguments={"n": 2}), Target)
    assert isinstance(world.ask("tools/call", name="log", arguments={"n": 31337}, client="ann"), Target)
    answer = world.ask("tools/call", name="log", arguments={"n": 31337})
    assert answer["isError"] is True
    assert answer["resultType"] == "complete"
    assert answer["content"][0]["text"] == (
        "Not allowed here: policy p, argument rule small: not one of the allowed values"
    )
    assert "Invalid arguments" in world.ask("tools/call", name="log", arguments={"n": "x"})["content"][0]["text"]
    again = world.ask("tools/call", "*", name="one__log", arguments={"n": 31337})
    assert "rule small" in again["content"][0]["text"], "in the union, too"


def test_a_refused_call_is_recorded_as_denied_and_answered_as_unknown() -> None:
    world = World(("p", ONLY_LOG))
    view = world.served.find("acme", "one", RpcHead("id", "tools/call", MODERN, "bot", "k", 0, 0))
    assert view.recorded_as(Problem("tool.unknown", "x", tool="reset")) == "policy.denied"
    assert view.recorded_as(Problem("tool.unknown", "x", tool="never")) == "tool.unknown"


def test_a_view_that_judges_only_what_is_listed_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "_refuse", lambda *given: None)
    with pytest.raises(AssertionError):
        test_a_resource_is_judged_by_its_own_uri_and_not_by_the_template_that_has_it()
    with pytest.raises(AssertionError):
        test_what_is_denied_is_neither_listed_nor_found_whatever_asks(MODERN)


def test_a_view_of_ten_thousand_tools_is_made_in_a_moment() -> None:
    world = World(("p", PolicyDefinition(callers=BOT, tools=rights("git/*"), when=(Window(),))))
    many = msgspec.structs.replace(catalogue("git"), tools=tuple(tool(f"t{number}") for number in range(10_000)))
    world.happens(ServerCatalogueDiscovered(server="git", digest="many", catalogue=many))
    began = time.process_time()
    shown = world.ask("tools/list")
    assert len(shown["tools"]) == 100
    assert time.process_time() - began < 2.0
