"""A stream of news of tasks, when what its caller may have changes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec

from callboard.contracts.calls import ERROR, LISTEN, MODERN, NOTIFICATION, RESULT, ReplyHead, RpcHead
from callboard_edge.mcp.gate import Place
from callboard_edge.mcp.task_news import TaskNews

CAPABLE = b'{"extensions":{"io.modelcontextprotocol/tasks":{}}}'


class Servers:
    """Stands where the calls go: every task is agreed to, and then the denied ones are unknown."""

    def __init__(self) -> None:
        self.denied: set[str] = set()
        self.news: dict[str, asyncio.Queue[tuple[ReplyHead, bytes]]] = {}
        self.ended: list[str] = []

    def new_id(self, now: int) -> str:
        return "id"

    async def send(self, head: RpcHead, organisation: str, playbook: str, params: bytes) -> Any:
        asked = msgspec.json.decode(params)
        answers: asyncio.Queue[tuple[ReplyHead, bytes]] = asyncio.Queue()
        if head.method == LISTEN:
            [task] = asked["notifications"]["taskIds"]
            self.news[task] = answers
            agreed = {
                "method": "notifications/subscriptions/acknowledged",
                "params": {"notifications": {"taskIds": [task]}},
            }
            answers.put_nowait((ReplyHead("id", NOTIFICATION), msgspec.json.encode(agreed)))
        elif asked["taskId"] in self.denied:
            answers.put_nowait((ReplyHead("id", ERROR, "task.unknown"), b"{}"))
        else:
            answers.put_nowait((ReplyHead("id", RESULT), b"{}"))
        return SimpleNamespace(next=answers.get, task=asked)

    async def cancel(self, call: Any, reason: str) -> None:
        self.ended += call.task["notifications"]["taskIds"]

    def forget(self, call: Any) -> None:
        """Nothing is kept."""

    def tell(self, task: str) -> None:
        """The task has news."""
        told = {"method": "notifications/tasks", "params": {"taskId": task}}
        self.news[task].put_nowait((ReplyHead("id", NOTIFICATION), msgspec.json.encode(told)))


async def test_of_a_task_that_its_caller_may_not_ask_for_any_more_nothing_is_heard() -> None:
    servers, heard = Servers(), asyncio.Queue[bytes]()
    head = RpcHead("id", LISTEN, MODERN, "c", "k", 0, 0, capabilities=CAPABLE)
    listener: Any = SimpleNamespace(say=heard.put_nowait)
    news = TaskNews(servers, Place("acme", "p", 0), head, b"{}", listener, b"1")  # type: ignore[arg-type]
    assert await news.begin(["a", "b"]) == ["a", "b"]
    await news.judge()
    servers.denied = {"a"}
    await news.judge()
    servers.tell("a")
    servers.tell("b")
    assert msgspec.json.decode(await asyncio.wait_for(heard.get(), 2))["params"]["taskId"] == "b"
    assert servers.ended == ["a"]
    assert heard.empty()
    news.end()
