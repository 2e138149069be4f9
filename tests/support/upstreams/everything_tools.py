"""The tools of the everything server; each function is the tool of its name."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import mcp_types as types
from mcp.server.subscriptions import PromptsListChanged, ResourceUpdated, ToolsListChanged

from tests.support.upstreams.everything_call import Call, elicit, roots, sample
from tests.support.upstreams.everything_data import (
    DEFAULTS_FORM,
    DIALECT_SCHEMA,
    ENUMS_FORM,
    HEADER_SCHEMA,
    PNG,
    WATCHED,
    embedded,
    wav,
)

Handler = Callable[[Call], Awaitable[types.CallToolResult]]
_STEP_SECONDS = 0.05
_LONG_SECONDS = 2.0
_NAME = elicit("What is your name?", {"name": {"type": "string"}}, ["name"])
_CONFIRM = elicit("Please confirm", {"ok": {"type": "boolean"}}, ["ok"])

TOOLS: dict[str, tuple[types.Tool, Handler]] = {}
EXTRA_TOOL = types.Tool(
    name="test_dynamic_tool", description="Comes and goes", input_schema={"type": "object", "properties": {}}
)


def _tool(description: str, schema: dict[str, Any] | None = None, **more: Any) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        name = handler.__name__
        known = schema or {"type": "object", "properties": {}}
        TOOLS[name] = (types.Tool(name=name, description=description, input_schema=known, **more), handler)
        return handler

    return register


def _needs(**arguments: str) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in arguments.items()}
    return {"type": "object", "properties": properties, "required": list(arguments)}


def _content(*blocks: types.ContentBlock) -> types.CallToolResult:
    return types.CallToolResult(content=list(blocks))


def text(words: str) -> types.CallToolResult:
    """A result of one text."""
    return _content(types.TextContent(text=words))


def _outcome(answer: dict[str, Any]) -> str:
    return f"action={answer.get('action')}, content={json.dumps(answer.get('content'))}"


def _entered(answer: dict[str, Any], field: str) -> Any:
    return (answer.get("content") or {}).get(field)


@_tool("Returns a text")
async def test_simple_text(call: Call) -> types.CallToolResult:
    return text("This is a simple text response for testing.")


@_tool("Returns a picture")
async def test_image_content(call: Call) -> types.CallToolResult:
    return _content(types.ImageContent(data=PNG, mime_type="image/png"))


@_tool("Returns a sound")
async def test_audio_content(call: Call) -> types.CallToolResult:
    return _content(types.AudioContent(data=wav(), mime_type="audio/wav"))


@_tool("Returns an embedded resource")
async def test_embedded_resource(call: Call) -> types.CallToolResult:
    return _content(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."))


@_tool("Returns text, a picture and a resource")
async def test_multiple_content_types(call: Call) -> types.CallToolResult:
    data = json.dumps({"test": "data", "value": 123})
    return _content(
        types.TextContent(text="Multiple content types test:"),
        types.ImageContent(data=PNG, mime_type="image/png"),
        embedded("test://mixed-content-resource", "application/json", data),
    )


@_tool(
    "Returns structured content, a link and _meta",
    title="Structured",
    output_schema={"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]},
    annotations=types.ToolAnnotations(read_only_hint=True),
)
async def test_structured_content(call: Call) -> types.CallToolResult:
    link = types.ResourceLink(uri=WATCHED, name="watched-resource", mime_type="text/plain")
    result = types.CallToolResult(content=[types.TextContent(text='{"sum":3}'), link])
    return result.model_copy(update={"structured_content": {"sum": 3}, "meta": {"example.com/origin": "everything"}})


@_tool("Logs three times")
async def test_tool_with_logging(call: Call) -> types.CallToolResult:
    await call.log("info", "Tool execution started")
    await anyio.sleep(_STEP_SECONDS)
    await call.log("info", "Tool processing data")
    await anyio.sleep(_STEP_SECONDS)
    await call.log("info", "Tool execution completed")
    return text("Tool with logging executed")


@_tool("Logs at every level")
async def test_logging_tool(call: Call) -> types.CallToolResult:
    levels: Sequence[types.LoggingLevel] = ("debug", "info", "warning", "error")
    for level in levels:
        await call.log(level, f"A message at {level}")
    return text("Logged at four levels")


@_tool("Reports progress three times")
async def test_tool_with_progress(call: Call) -> types.CallToolResult:
    for done in (0, 50, 100):
        await call.context.session.report_progress(done, 100, f"{done} of 100")
        if done < 100:
            await anyio.sleep(_STEP_SECONDS)
    return text("Tool with progress executed")


@_tool("Always fails")
async def test_error_handling(call: Call) -> types.CallToolResult:
    words = "This tool intentionally returns an error for testing"
    return types.CallToolResult(content=[types.TextContent(text=words)], is_error=True)


@_tool("Closes its stream before it answers")
async def test_reconnection(call: Call) -> types.CallToolResult:
    # Without a stream of its own to close, it gives whoever is in between the time to close theirs.
    await anyio.sleep(2 * _STEP_SECONDS if await call.close_stream() else _LONG_SECONDS)
    return text("Reconnection test completed")


@_tool("Asks the client's model", _needs(prompt="What to ask"))
async def test_sampling(call: Call) -> types.CallToolResult:
    answer = (await call.ask({"sample": sample(str(call.arguments.get("prompt")))}))["sample"]
    return text(f"LLM response: {answer['content'].get('text')}")


@_tool("Asks the user", _needs(message="What to ask"))
async def test_elicitation(call: Call) -> types.CallToolResult:
    properties = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    question = elicit(str(call.arguments.get("message")), properties, ["username", "email"])
    return text(f"User response: {_outcome((await call.ask({'user': question}))['user'])}")


@_tool("Asks with default values")
async def test_elicitation_sep1034_defaults(call: Call) -> types.CallToolResult:
    answers = await call.ask({"form": elicit("Please review these values", DEFAULTS_FORM)})
    return text(f"Elicitation completed: {_outcome(answers['form'])}")


@_tool("Asks with every kind of choice")
async def test_elicitation_sep1330_enums(call: Call) -> types.CallToolResult:
    answers = await call.ask({"form": elicit("Please choose", ENUMS_FORM)})
    return text(f"Elicitation completed: {_outcome(answers['form'])}")


@_tool("Reports progress, then asks the user")
async def test_streaming_elicitation(call: Call) -> types.CallToolResult:
    await call.context.session.report_progress(1, 2)
    answers = await call.ask({"user_name": _NAME})
    await call.context.session.report_progress(2, 2)
    return text(f"Hello, {_entered(answers['user_name'], 'name')}!")


@_tool("Needs the sampling capability")
async def test_missing_capability(call: Call) -> types.CallToolResult:
    answers = await call.ask({"sample": sample("Say yes")})
    return text(f"LLM response: {answers['sample']['content'].get('text')}")


@_tool("Has a schema with the whole 2020-12 dialect", DIALECT_SCHEMA)
async def json_schema_2020_12_tool(call: Call) -> types.CallToolResult:
    return text(json.dumps(dict(call.arguments), sort_keys=True))


@_tool("Mirrors arguments into headers", HEADER_SCHEMA)
async def test_x_mcp_header(call: Call) -> types.CallToolResult:
    return text(json.dumps(dict(call.arguments), sort_keys=True))


@_tool("Adds or removes a tool")
async def test_trigger_tool_change(call: Call) -> types.CallToolResult:
    call.board.extra_tool = not call.board.extra_tool
    await call.board.announce(ToolsListChanged())
    return text("The tool list changed")


@_tool("Adds or removes a prompt")
async def test_trigger_prompt_change(call: Call) -> types.CallToolResult:
    call.board.extra_prompt = not call.board.extra_prompt
    await call.board.announce(PromptsListChanged())
    return text("The prompt list changed")


@_tool("Changes the watched resource")
async def test_trigger_resource_change(call: Call) -> types.CallToolResult:
    call.board.revision += 1
    await call.board.announce(ResourceUpdated(WATCHED))
    return text(f"Revision {call.board.revision}")


@_tool("Asks for a name")
async def test_input_required_result_elicitation(call: Call) -> types.CallToolResult:
    answers = await call.ask({"user_name": _NAME})
    return text(f"Hello, {_entered(answers['user_name'], 'name')}!")


@_tool("Asks the client's model")
async def test_input_required_result_sampling(call: Call) -> types.CallToolResult:
    answers = await call.ask({"capital_question": sample("What is the capital of France?")})
    return text(str(answers["capital_question"]["content"].get("text")))


@_tool("Asks for the roots")
async def test_input_required_result_list_roots(call: Call) -> types.CallToolResult:
    answers = await call.ask({"client_roots": roots()})
    return text(", ".join(root["uri"] for root in answers["client_roots"]["roots"]))


@_tool("Asks, and wants its requestState back")
async def test_input_required_result_request_state(call: Call) -> types.CallToolResult:
    answers = await call.ask({"confirm": _CONFIRM}, remember=True)
    return text(f"state-ok, confirmed: {_entered(answers['confirm'], 'ok')}")


@_tool("Asks three things at once")
async def test_input_required_result_multiple_inputs(call: Call) -> types.CallToolResult:
    questions: dict[str, types.InputRequest] = {
        "user_name": _NAME,
        "greeting": sample("Generate a greeting", 50),
        "client_roots": roots(),
    }
    answers = await call.ask(questions, remember=True)
    greeting = answers["greeting"]["content"].get("text")
    return text(f"{greeting} {_entered(answers['user_name'], 'name')}, {len(answers['client_roots']['roots'])} roots")


@_tool("Asks twice")
async def test_input_required_result_multi_round(call: Call) -> types.CallToolResult:
    name = elicit("Step 1: What is your name?", {"name": {"type": "string"}}, ["name"])
    color = elicit("Step 2: What is your favorite color?", {"color": {"type": "string"}}, ["color"])
    first = await call.ask({"step1": name}, remember=True)
    second = await call.ask({"step2": color}, remember=True)
    return text(f"{_entered(first['step1'], 'name')} likes {_entered(second['step2'], 'color')}")


@_tool("Refuses a requestState that was changed")
async def test_input_required_result_tampered_state(call: Call) -> types.CallToolResult:
    answers = await call.ask({"confirm": _CONFIRM}, remember=True)
    return text(f"state-ok, confirmed: {_entered(answers['confirm'], 'ok')}")


@_tool("Asks only what the client can answer")
async def test_input_required_result_capabilities(call: Call) -> types.CallToolResult:
    questions: dict[str, types.InputRequest] = {}
    if call.declared("sampling"):
        questions["greeting"] = sample("Generate a greeting", 50)
    if call.declared("elicitation"):
        questions["user_name"] = _NAME
    answers = await call.ask(questions) if questions else {}
    return text(f"Answered: {', '.join(answers) or 'nothing'}")
