"""What an upstream answers is what the agent hears: errors whole, completions by reference; headers on the way."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import published
from tests.support.speaker import ERAS, speaker
from tests.support.stack import META, Stack
from tests.support.telling import ANY, playbook_of, telling, tool
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
ERRORS: dict[str, dict[str, Any]] = {
    "unknown_code": {"code": 17, "message": "my own", "data": {"code": -32601, "why": [None, 1.0, {"a": {}}]}},
    "data_first": {"data": {"code": -32601}, "message": "own code comes last", "code": -31999},
    "no_data": {"code": -32000, "message": ""},
    "floats": {"code": -32050, "message": "floats", "data": [1.0, 1e-9, 0.1, 1e300, 12345678901234567890, -0.0]},
    "unicode": {"code": -32051, "message": "é 世界 🎉 \u2028", "data": {"ключ": '\u0000\u001f\\"/'}},
    "scalar": {"code": -32052, "message": "scalar", "data": "just text"},
    "capability": {
        "code": -32021,
        "message": "needs sampling",
        "data": {"requiredCapabilities": {"sampling": {}}},
    },
    "version": {"code": -32022, "message": "not that", "data": {"supported": ["2031-01-01"], "requested": "x"}},
    "not_found": {"code": -32601, "message": "no such thing", "data": {"x": 1}},
}
STATUS = {"capability": 400, "version": 400, "not_found": 404}


@pytest.mark.parametrize("client", ERAS)
@pytest.mark.parametrize("upstream", ERAS)
@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_an_error_keeps_its_code_message_and_data(
    stack: Stack, client: str, upstream: str, transport: str, tmp_path: Path
) -> None:
    calls = {f"tools/call {name}": {"error": error} for name, error in ERRORS.items()}
    script = {"tools/list": {"tools": [tool(name) for name in ERRORS]}, **calls}
    async with telling(tmp_path, script, transport, upstream) as told:
        organisation, token = await published(stack, playbook_of({"up": told.server}))
        async with speaker(stack, organisation, token, client) as agent:
            for name, error in ERRORS.items():
                heard = await agent.call(f"up__{name}")
                assert heard.error == error, name
                assert heard.status == (STATUS.get(name, 200) if client == "2026" else 200), name


@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_an_error_of_many_megabytes_keeps_its_data(stack: Stack, transport: str, tmp_path: Path) -> None:
    error = {"code": -32053, "message": "huge", "data": "x" * 40_000_000}
    script = {"tools/list": {"tools": [tool("t")]}, "tools/call t": {"error": error}}
    async with telling(tmp_path, script, transport) as told:
        organisation, token = await published(stack, playbook_of({"up": told.server}))
        for era in ERAS:
            async with speaker(stack, organisation, token, era) as agent:
                assert (await agent.call("up__t")).error == error


async def test_an_error_whose_code_is_no_integer_still_travels(stack: Stack, tmp_path: Path) -> None:
    error = {"code": 1.5, "message": "half", "data": {"a": 1}}
    script = {"tools/list": {"tools": [tool("t")]}, "tools/call t": {"error": error}}
    async with telling(tmp_path, script) as told:
        organisation, token = await published(stack, playbook_of({"up": told.server}))
        for era in ERAS:
            async with speaker(stack, organisation, token, era) as agent:
                assert (await agent.call("up__t")).error == error


def completing(prefix: str) -> dict[str, Any]:
    """A server with a prompt and a template that completes both, and says which it was asked for."""

    def values(text: str) -> dict[str, Any]:
        return {"completion": {"values": [f"{prefix} {text}"], "total": 1, "hasMore": False}}

    return {
        "prompts/list": {"prompts": [{"name": "greet", "arguments": [{"name": "who"}]}]},
        "resources/templates/list": {"resourceTemplates": [{"uriTemplate": f"{prefix}://{{id}}", "name": "t"}]},
        "completion/complete greet": values("prompt"),
        f"completion/complete {prefix}://{{id}}": values("template"),
    }


@pytest.mark.parametrize("client", ERAS)
@pytest.mark.parametrize("upstream", ERAS)
@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_a_completion_goes_to_the_server_of_its_reference(
    stack: Stack, client: str, upstream: str, transport: str, tmp_path: Path
) -> None:
    quiet = {"prompts": {}, "resources": {}}
    argument = {"name": "who", "value": "a"}
    async with (
        telling(tmp_path, completing("one"), transport, upstream) as one,
        telling(tmp_path, {**completing("two"), "capabilities": quiet}, transport, upstream) as two,
        telling(tmp_path, {"prompts/list": {"prompts": [{"name": "mute"}]}}, transport, upstream) as three,
    ):
        text = playbook_of(
            {"one": one.server, "two": two.server, "three": three.server},
            {"two": {"names": "dot"}, "three": {"names": "none"}},
            prompts={"stored": {"template": "hi"}},
        )
        organisation, token = await published(stack, text)
        async with speaker(stack, organisation, token, client) as agent:

            async def complete(**ref: str) -> Any:
                return await agent.ask("completion/complete", ref=ref, argument=argument)

            for name, expected in (("one__greet", "one prompt"), ("two.greet", "two prompt")):
                heard = await complete(type="ref/prompt", name=name)
                assert heard.result["completion"]["values"] == [expected]
            for prefix in ("one", "two"):
                heard = await complete(type="ref/resource", uri=f"{prefix}://{{id}}")
                assert heard.result["completion"]["values"] == [f"{prefix} template"]
            stored = (await complete(type="ref/prompt", name="stored")).result
            assert stored["completion"]["values"] == []
            assert ("resultType" in stored) is (client == "2026")
            assert (await complete(type="ref/prompt", name="greet")).error["data"]["code"] == "prompt.unknown"
            assert (await complete(type="ref/resource", uri="three://{id}")).error["code"] == -32602
            assert (await complete(type="ref/nothing", name="x")).error["code"] == -32602
            assert "error" in (await complete(type="ref/prompt", name="mute")).answer
        refs = [line["params"]["ref"] for line in two.seen("completion/complete")]
        assert refs == [{"type": "ref/prompt", "name": "greet"}, {"type": "ref/resource", "uri": "two://{id}"}]


MIRRORED = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
    },
}


def wrapped(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@pytest.mark.parametrize("client", ERAS)
async def test_headers_are_minted_for_the_upstream_after_a_rename(stack: Stack, client: str, tmp_path: Path) -> None:
    odd = "größe"
    done = {"content": [{"type": "text", "text": "done"}]}
    script = {
        "tools/list": {"tools": [{"name": "log", "inputSchema": MIRRORED}, tool(odd)]},
        "tools/call log": done,
        f"tools/call {odd}": done,
        "resources/list": {"resources": [{"uri": "x://ä b", "name": "r"}]},
        "resources/read x://ä b": {"contents": []},
    }
    async with telling(tmp_path, script, era="2026") as told:
        rename = {"log": "history", odd: "size"}
        organisation, token = await published(
            stack, playbook_of({"up": told.server}, {"up": {"tools": {"rename": rename}}})
        )
        async with speaker(stack, organisation, token, client) as agent:
            mirrored = {"Mcp-Param-Region": wrapped(" zürich"), "Mcp-Param-Count": "3"}
            if client == "2026":
                agent.headers |= mirrored
            arguments = {"region": " zürich", "count": 3}
            assert (await agent.call("up__history", arguments)).text == "done"
            for header in mirrored:
                agent.headers.pop(header, None)
            assert (await agent.call("up__size")).text == "done"
            if client == "2025":
                assert (await agent.ask("resources/read", uri="x://ä b")).result["contents"] == []
        log, size = (line["headers"] for line in told.seen("tools/call"))
        assert (log["mcp-method"], log["mcp-name"]) == ("tools/call", "log")
        assert (log["mcp-param-region"], log["mcp-param-count"]) == (wrapped(" zürich"), "3")
        assert size["mcp-name"] == wrapped(odd)
        assert not [name for name in size if name.startswith("mcp-param")]
        if client == "2025":
            assert told.seen("resources/read")[0]["headers"]["mcp-name"] == wrapped("x://ä b")


@pytest.mark.parametrize(
    ("headers", "arguments", "code"),
    [
        ({"Mcp-Name": "up__other"}, {}, -32020),
        ({"Mcp-Method": "tools/list"}, {}, -32020),
        ({"Mcp-Param-Region": "b"}, {"region": "a"}, -32020),
        ({}, {"region": "a"}, -32020),
        ({"Mcp-Param-Region": "a"}, {}, -32020),
        ({"Mcp-Param-Region": "=?base64?YQ?="}, {"region": "a"}, -32020),
        ({"Mcp-Param-Region": wrapped("a")}, {"region": "a"}, None),
        ({"Mcp-Param-Count": "3.0"}, {"count": 3}, None),
        ({"Mcp-Param-Count": "4"}, {"count": 3}, -32020),
        ({"MCP-Protocol-Version": "2031-01-01"}, {}, -32020),
    ],
)
async def test_headers_that_do_not_mirror_the_body_are_refused(
    stack: Stack, headers: dict[str, str], arguments: dict[str, Any], code: int | None, tmp_path: Path
) -> None:
    script = {"tools/list": {"tools": [{"name": "log", "inputSchema": MIRRORED}]}, "tools/call log": {"content": []}}
    async with telling(tmp_path, script) as told:
        organisation, token = await published(stack, playbook_of({"up": told.server}))
        params = {"name": "up__log", "arguments": arguments}
        answer = await stack.rpc(stack.endpoint(organisation, "p"), "tools/call", params, token, headers)
        if code is None:
            assert answer.json()["result"]["content"] == []
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
            assert told.seen("tools/call") == []


async def test_a_version_that_is_not_spoken_is_refused_with_those_that_are(stack: Stack, tmp_path: Path) -> None:
    async with telling(tmp_path, {}) as told:
        organisation, token = await published(stack, playbook_of({"up": told.server}))
        meta = {**META, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}
        answer = await stack.rpc(
            stack.endpoint(organisation, "p"),
            "tools/list",
            {"_meta": meta},
            token,
            {"MCP-Protocol-Version": "2031-01-01"},
        )
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, -32022)
        assert error["data"]["requested"] == "2031-01-01"
        assert error["data"]["supported"][0] == "2026-07-28"


BAD = {
    "bad_type": {"inputSchema": {"type": 12}},
    "no_schema": {},
    "not_object": {"inputSchema": {"type": "string"}},
    "network": {"inputSchema": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}}},
    "header_type": {"inputSchema": {"type": "object", "properties": {"a": {"type": "array", "x-mcp-header": "A"}}}},
    "header_name": {"inputSchema": {"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "A B"}}}},
    "header_twice": {
        "inputSchema": {
            "type": "object",
            "properties": {
                "a": {"type": "string", "x-mcp-header": "A"},
                "b": {"type": "string", "x-mcp-header": "a"},
            },
        }
    },
}


@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_a_tool_with_a_bad_definition_is_quarantined_alone_and_the_status_says_why(
    stack: Stack, transport: str, tmp_path: Path
) -> None:
    tools = [{"name": name, **rest} for name, rest in BAD.items()]
    tools[3:3] = [{"name": "good", "inputSchema": ANY}]
    script = {"tools/list": {"tools": tools}, "tools/call good": {"content": []}}
    async with telling(tmp_path, script, transport) as told:
        organisation, token = await published(stack, playbook_of({"up": told.server}))
        async with speaker(stack, organisation, token, "2026") as agent:
            assert [each["name"] for each in (await agent.ask("tools/list")).result["tools"]] == ["up__good"]
            assert (await agent.call("up__good")).result["content"] == []
            assert "error" in (await agent.call("up__bad_type")).answer

        async def explained() -> dict[str, str] | None:
            status = await stack.cli_json("status")
            servers = [server for one in status["instances"] for server in one.get("servers", [])]
            mine = [server for server in servers if server["organisation"] == organisation]
            return next((server["quarantined"] for server in mine if server.get("quarantined")), None)

        why = await eventually(explained, every=0.3)
        assert why is not None
        assert set(why) == set(BAD)
        assert "x-mcp-header" in why["header_name"]
        assert "never fetched" in why["network"]
        _, shown, _ = await stack.cli("status")
        assert "QUARANTINED" in shown
        assert "header_twice" in shown
