"""The conformance fixture on the official SDK, through the connector: every method, both eras, every transport."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from callboard.contracts import subjects
from callboard.contracts.calls import REQUEST, AnswerHead, frame, worker_of
from tests.connectors.rig import Answer, Rig
from tests.support.upstreams.launch import running
from tests.support.waiting import eventually, promised

MODERN, LEGACY = "2026-07-28", "2025-11-25"
VERSIONS = {"2025": LEGACY, "2026": MODERN}
EVERY = pytest.mark.parametrize(
    ("transport", "era", "client"),
    [
        ("http", "2026", MODERN),
        ("http", "2025", LEGACY),
        ("http", "2026", LEGACY),
        ("http", "2025", MODERN),
        ("stdio", "2026", MODERN),
        ("stdio", "2025", LEGACY),
        ("sse", "2025", MODERN),
        ("websocket", "2026", LEGACY),
    ],
)


@contextlib.asynccontextmanager
async def everything(rig: Rig, transport: str, era: str) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        words = ("everything", "--transport", transport, "--era", era)
        if transport == "stdio":
            await rig.register_stdio("all", *words)
        else:
            upstream = await stack.enter_async_context(running(*words))
            urls = {"http": upstream.url, "sse": upstream.at("/sse"), "websocket": upstream.websocket}
            await rig.register("all", url=urls[transport])
        await rig.room()
        assert (await rig.online("all", within=30)).era == VERSIONS[era]
        yield


@EVERY
async def test_tools_prompts_resources_and_completions(rig: Rig, transport: str, era: str, client: str) -> None:
    async with everything(rig, transport, era):
        (recorded,) = rig.catalogues
        catalogue = recorded.catalogue
        assert len(catalogue.resources) == 3
        assert [item.name for item in catalogue.templates] == ["test://template/{id}/data"]
        assert "test_simple_prompt" in {item.name for item in catalogue.prompts}
        schema = next(item for item in catalogue.tools if item.name == "json_schema_2020_12_tool")
        assert schema.problem is None
        assert b'"$anchor"' in bytes(schema.raw)

        mixed = await rig.call("all", "test_multiple_content_types", era=client)
        assert [block["type"] for block in mixed.result["content"]] == ["text", "image", "resource"]
        prompt = await rig.call("all", "test_simple_prompt", method="prompts/get", era=client)
        assert prompt.result["messages"]
        read = await rig.call("all", "", method="resources/read", raw=b'{"uri":"test://template/42/data"}', era=client)
        assert '"id": "42"' in read.result["contents"][0]["text"]
        if client == MODERN:
            assert {"ttlMs", "cacheScope", "resultType"} <= set(read.result)
        missing = await rig.call("all", "", method="resources/read", raw=b'{"uri":"test://nothing"}', era=client)
        assert missing.error["data"] == {"uri": "test://nothing"}
        ref = {"type": "ref/prompt", "name": "all__test_prompt_with_arguments"}
        raw = json.dumps({"ref": ref, "argument": {"name": "arg1", "value": "par"}}).encode()
        completed = await rig.call(
            "all", "test_prompt_with_arguments", method="completion/complete", raw=raw, era=client
        )
        assert completed.result["completion"]["values"] == ["paris", "park", "party"]


@EVERY
async def test_progress_and_logs_come_before_the_result(rig: Rig, transport: str, era: str, client: str) -> None:
    async with everything(rig, transport, era):
        answer = await rig.call("all", "test_tool_with_progress", era=client, meta={"progressToken": "p"})
        params = [one["params"] for one in answer.notifications if one["method"] == "notifications/progress"]
        assert [one["progress"] for one in params] == [0, 50, 100]
        assert {one["progressToken"] for one in params} == {"p"}
        logged = await rig.call("all", "test_tool_with_logging", era=client, log_level="info", meta=_level(client))
        messages = [one for one in logged.notifications if one["method"] == "notifications/message"]
        assert len(messages) == 3
        silent = await rig.call("all", "test_tool_with_logging", era=MODERN)
        assert silent.notifications == []


def _level(client: str) -> dict[str, str]:
    return {"io.modelcontextprotocol/logLevel": "info"} if client == MODERN else {}


@pytest.mark.parametrize(("era", "client"), [("2026", MODERN), ("2025", LEGACY)])
async def test_questions_and_capabilities(rig: Rig, era: str, client: str) -> None:
    async with everything(rig, "http", era):
        missing = await rig.call("all", "test_missing_capability", era=client)
        if era == "2026":
            assert missing.error["code"] == -32021
            assert missing.error["data"] == {"requiredCapabilities": {"sampling": {}}}
            asked = await rig.call(
                "all", "test_input_required_result_elicitation", era=client, capabilities=b'{"elicitation":{"form":{}}}'
            )
            assert asked.result["resultType"] == "input_required"
        else:
            # The shared session offers the server nothing to ask; what it makes of that is its answer.
            answer = await rig.call("all", "test_sampling", {"prompt": "?"}, era=client)
            assert answer.last.kind in (0, 1)


@pytest.mark.parametrize("transport", ["http", "stdio", "sse", "websocket"])
async def test_what_a_handshake_server_asks_goes_to_the_client_of_the_call(rig: Rig, transport: str) -> None:
    async with everything(rig, transport, "2025"):
        capabilities = b'{"sampling":{}}'
        answer = await rig.send(
            "all", "test_sampling", {"prompt": "?"}, era=LEGACY, session="s1", capabilities=capabilities
        )
        asked = json.loads(await eventually(lambda: _question(answer)))
        assert asked["method"] == "sampling/createMessage"
        said = {"role": "assistant", "content": {"type": "text", "text": "forty-two"}, "model": "m"}
        head = AnswerHead(token=asked["id"], session="s1", principal="k1")
        body = json.dumps({"result": said}).encode()
        await rig.client.publish(subjects.answer(worker_of(asked["id"]) or ""), frame(head, body))
        await promised(answer.done.is_set, within=5)
        assert "forty-two" in answer.text


def _question(answer: Answer) -> bytes | None:
    return next((body for head, body in answer.frames if head.kind == REQUEST), None)


async def test_a_stream_that_is_closed_early_is_resumed(rig: Rig) -> None:
    async with everything(rig, "http", "2025"):
        answer = await rig.call("all", "test_reconnection", era=LEGACY)
        assert answer.text == "Reconnection test completed"


@pytest.mark.parametrize(("transport", "era"), [("http", "2026"), ("http", "2025"), ("stdio", "2025")])
async def test_an_announced_change_is_recorded(rig: Rig, transport: str, era: str) -> None:
    async with everything(rig, transport, era):

        async def recorded() -> bool:
            # The announcement has no receiver until the stream stands, so the tool is called until it has.
            await rig.call("all", "test_trigger_tool_change", era=VERSIONS[era])
            return len(rig.catalogues) > 1

        await eventually(recorded, every=0.3)
        assert "test_dynamic_tool" in {item.name for known in rig.catalogues[1:] for item in known.catalogue.tools}
