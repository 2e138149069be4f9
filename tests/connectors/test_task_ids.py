from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from callboard.contracts.calls import LEGACY, LISTEN, MODERN, CallHead, TaskOwner, task_id, task_owner
from callboard.contracts.problems import Problem
from callboard_connectors.calls.domain import build_request, settle
from callboard_connectors.tasks.domain import TaskIds, created, news, renamed
from callboard_connectors.tasks.identify import Tasks
from callboard_connectors.tasks.seal import TaskRef, TaskSeal

IDS = TaskIds("theirs", "cbt2.p.up.-.AAAA")
REF = TaskRef("theirs", "k1", 3, "up__slow", "sha256:d")
RELATED = "io.modelcontextprotocol/related-task"


class Keys:
    """Gives every organisation a key of its own, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def key(self, organisation: str) -> bytes:
        self.asked += 1
        return (organisation * 64)[:64].encode()


def head(method: str = "tools/call", era: str = MODERN, **changes: Any) -> CallHead:
    plain = CallHead("id", method, "acme", "p", 3, "up", "slow", "up__slow", "sha256:d", "r", era, "c", "k1", 1, 1, 1)
    return msgspec.structs.replace(plain, **changes)


def about(id: str) -> bytes:
    return json.dumps({"taskId": id}).encode()


def refusal(tasks: Tasks, asking: CallHead, id: str) -> tuple[str, str, int]:
    with pytest.raises(Problem) as refused:
        asyncio.run(tasks.found(asking, about(id)))
    return refused.value.code, refused.value.message, refused.value.rpc_code


def made(tasks: Tasks, holder: str = "", **changes: Any) -> str:
    ids = asyncio.run(tasks.named(head(**changes), b'{"resultType":"task","taskId":"theirs"}', holder))
    assert ids is not None
    return ids.ours


def test_an_id_says_who_owns_the_task_and_opens_for_whom_it_was_made() -> None:
    keys = Keys()
    tasks = Tasks(keys)
    id = made(tasks, holder="w1")
    assert task_owner(id) == TaskOwner("p", "up", "w1", "slow")
    asking = head("tasks/get", version=9, wire_name="", upstream_name="", digest="")
    found, ids = asyncio.run(tasks.found(asking, about(id)))
    assert ids == TaskIds("theirs", id)
    assert (found.version, found.wire_name, found.upstream_name, found.digest) == (3, "up__slow", "slow", "sha256:d")
    assert keys.asked == 1


def test_another_worker_opens_it_too_and_gives_the_same_task_the_same_id() -> None:
    id = made(Tasks(Keys()))
    assert made(Tasks(Keys())) == id
    asyncio.run(Tasks(Keys()).found(head("tasks/get"), about(id)))


def test_to_everybody_else_it_is_an_unknown_task() -> None:
    tasks = Tasks(Keys())
    id = made(tasks)
    unknown = refusal(tasks, head("tasks/get"), "never-heard-of")
    assert unknown == ("task.unknown", "Task not found", -32602)
    for changed in ({"principal": "k2"}, {"playbook": "q"}, {"organisation": "other"}):
        assert refusal(tasks, head("tasks/get", **changed), id) == unknown


def test_an_altered_id_is_an_unknown_task() -> None:
    tasks = Tasks(Keys())
    id = made(tasks, holder="w1")
    for position in range(len("cbt2."), len(id), 5):
        other = "A" if id[position] != "A" else "B"
        altered = id[:position] + other + id[position + 1 :]
        assert refusal(tasks, head("tasks/get"), altered)[0] == "task.unknown"
    old = id.replace("cbt2.", "cbt1.")
    junk = ("", "cbt2.", "cbt2.p.up.-.", "cbt2.p.up.-.!!", "cbt2.p.up.-.AAAA", "cbt2.up.-.AAAA", "cb2.p.up.-.AAAA", old)
    for other in (*junk, id[:-4], id + "AAAA", id + ".AAAA", id.replace(".p.", ".")):
        assert refusal(tasks, head("tasks/get"), other)[0] == "task.unknown"


def test_what_stands_in_the_clear_is_bound_to_the_seal() -> None:
    tasks = Tasks(Keys())
    id = made(tasks, holder="w1")
    sealed = id.rpartition(".")[2]
    for clear in (
        TaskOwner("q", "up", "w1", "slow"),
        TaskOwner("p", "down", "w1", "slow"),
        TaskOwner("p", "up", "", "slow"),
        TaskOwner("p", "up", "w1", "fast"),
    ):
        asking = head("tasks/get", playbook=clear.playbook, server=clear.server)
        assert refusal(tasks, asking, task_id(clear, sealed)) == ("task.unknown", "Task not found", -32602)
    asyncio.run(tasks.found(head("tasks/get"), about(task_id(TaskOwner("p", "up", "w1", "slow"), sealed))))


def test_an_id_with_the_longest_names_still_fits_into_a_header() -> None:
    longest = {"playbook": "p" * 63, "server": "s" * 63, "wire_name": "w" * 64, "upstream_name": "u" * 64}
    id = made(Tasks(Keys()), holder="w" * 16, **longest, digest="sha256:" + "d" * 64)
    assert len(id) < 600


def test_params_that_name_no_task_are_invalid() -> None:
    with pytest.raises(Problem) as refused:
        asyncio.run(Tasks(Keys()).found(head("tasks/get"), b'{"taskId":7}'))
    assert refused.value.code == "argument.invalid"


@pytest.mark.parametrize(
    ("result", "task"),
    [
        ({"resultType": "task", "taskId": "t"}, "t"),
        ({"task": {"taskId": "t", "status": "working"}}, "t"),
        ({"resultType": "complete", "taskId": "t"}, ""),
        ({"content": [], "structuredContent": {"taskId": "t"}}, ""),
        ({"task": "wash up"}, ""),
        ({"task": {"taskId": 7}}, ""),
    ],
)
def test_a_new_task_is_one_that_a_result_announces(result: Any, task: str) -> None:
    assert created(json.dumps(result).encode()) == task


def test_a_tool_result_that_only_looks_like_a_task_is_none() -> None:
    raw = b'{"taskId":"t","resultType":"complete"}'
    assert settle(head(), raw).is_task is False
    assert settle(head(), b'{ "resultType" : "task","taskId":"t"}').is_task is True
    assert settle(head(era=LEGACY), b'{"task":{"taskId":"t"}}').is_task is False


def test_an_id_is_replaced_wherever_a_task_is_named_and_nowhere_else() -> None:
    kept = '"result":{ "content":[{"text":"theirs"}],"n":1.0 },"status":"completed"'
    result = f'{{"taskId":"theirs",{kept},"_meta":{{"x":"theirs","{RELATED}":{{"taskId":"theirs","y":1}}}}}}'
    changed = renamed(result.encode(), IDS).decode()
    assert kept in changed
    assert changed.count(IDS.ours) == 2
    assert json.loads(changed)["_meta"] == {"x": "theirs", RELATED: {"taskId": IDS.ours, "y": 1}}
    assert (
        renamed(b'{"task":{"taskId":"theirs","ttl":1}}', IDS) == b'{"task":{"taskId":"%b","ttl":1}}' % IDS.ours.encode()
    )


def test_what_is_about_no_task_or_another_stays_the_bytes_it_was() -> None:
    for raw in (
        b'{ "taskId" : "another" }',
        b'{"task":7, "_meta":null}',
        b'{"_meta":{"%b":"theirs"}}' % RELATED.encode(),
    ):
        assert renamed(raw, IDS) == raw


def test_an_answer_of_the_client_names_the_task_as_the_server_does() -> None:
    raw = json.dumps({"action": "accept", "_meta": {RELATED: {"taskId": IDS.ours}}}).encode()
    assert json.loads(renamed(raw, IDS.reversed))["_meta"] == {RELATED: {"taskId": "theirs"}}


def notification(method: str, params: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode()


def test_news_of_a_task_reach_only_a_call_that_has_a_name_for_it() -> None:
    for method in ("notifications/tasks", "notifications/tasks/status"):
        raw = notification(method, {"taskId": "theirs", "status": "working"})
        told = news(method, raw, IDS)
        assert told is not None
        assert json.loads(told)["params"] == {"taskId": IDS.ours, "status": "working"}
        assert news(method, raw, None) is None
        assert news(method, notification(method, {"taskId": "another"}), IDS) is None
        assert news(method, b'{"method":"x","params":[7]}', IDS) is None
    plain = notification("notifications/message", {"level": "info", "data": 1})
    assert news("notifications/message", plain, None) == plain


@pytest.mark.parametrize(("agreed", "told"), [({"taskIds": ["theirs"]}, {"taskIds": [IDS.ours]}), ({}, {})])
def test_an_acknowledgement_says_what_was_agreed(agreed: Any, told: Any) -> None:
    method = "notifications/subscriptions/acknowledged"
    said = news(method, notification(method, {"notifications": agreed, "_meta": {"a": 1}}), IDS)
    assert said is not None
    assert json.loads(said)["params"] == {"notifications": told, "_meta": {"a": 1}}


def test_the_server_is_asked_with_its_own_id_and_the_header_mirrors_it() -> None:
    params = json.dumps({"taskId": IDS.ours, "inputResponses": {"a": {"action": "accept"}}}).encode()
    built = build_request(head("tasks/update"), params, 7, True, "theirs")
    sent = json.loads(built.message)
    assert (sent["method"], built.name) == ("tasks/update", "theirs")
    assert {name: sent["params"][name] for name in ("taskId", "inputResponses")} == {
        "taskId": "theirs",
        "inputResponses": {"a": {"action": "accept"}},
    }
    listen = build_request(head(LISTEN), b'{"notifications":{"taskIds":["x"]}}', 7, True, "theirs")
    assert json.loads(listen.message)["params"]["notifications"] == {"taskIds": ["theirs"]}
    assert listen.name == ""


@pytest.mark.parametrize(
    ("era", "modern", "stays"),
    [(LEGACY, False, True), (LEGACY, True, False), (MODERN, False, False), (MODERN, True, True)],
)
def test_a_wish_for_a_task_goes_only_where_its_revision_is_spoken(era: str, modern: bool, stays: bool) -> None:
    params = b'{"name":"n","arguments":{},"task":{"ttl":1000}}'
    built = build_request(head(era=era), params, 7, modern)
    assert ("task" in json.loads(built.message)["params"]) is stays
    assert built.augmented is (stays and not modern)


def test_the_seal_of_one_organisation_does_not_open_anothers() -> None:
    id = TaskSeal(b"1" * 64).seal(REF, TaskOwner("p", "up", "", "slow"))
    assert TaskSeal(b"1" * 64).open(id, "p", "k1") == (REF, TaskOwner("p", "up", "", "slow"))
    with pytest.raises(Problem):
        TaskSeal(b"2" * 64).open(id, "p", "k1")
