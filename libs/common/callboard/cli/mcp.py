"""`callboard tools`, `prompts` and `resources`: through the playbook's MCP endpoint, as an agent would."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from callboard.cli.arguments import pairs, tool_arguments
from callboard.cli.exit_codes import FAILED, OK
from callboard.cli.output import Output
from callboard.cli.refusals import Refused
from callboard.cli.target import connect, reference_of
from callboard.client import Callboard, McpEndpoint


def _endpoint(args: Namespace, callboard: Callboard) -> McpEndpoint:
    organisation, name, _ = reference_of(args.playbook, args, callboard, version=False)
    return callboard.playbook_endpoint(organisation, name)


def list_tools(args: Namespace, out: Output) -> int:
    """`tools ls`."""
    with connect(args) as callboard:
        tools = _endpoint(args, callboard).tools()
    if out.as_json:
        out.json(tools)
    else:
        rows = [(tool["name"], _arguments(tool), _first_line(tool)) for tool in tools]
        out.table(("tool", "arguments", "description"), rows, "the playbook has no tools")
    return OK


def call_tool(args: Namespace, out: Output) -> int:
    """`tools call`: the texts of the answer on stdout; an error that the tool reports is exit code 1."""
    with connect(args) as callboard:
        endpoint = _endpoint(args, callboard)
        tool = next((tool for tool in endpoint.tools() if tool["name"] == args.tool), None)
        schema = tool.get("inputSchema", {}) if tool else {}
        arguments = tool_arguments(args.arg, args.json_args, schema)

        def say(method: str, params: dict[str, Any]) -> None:
            out.talk(_notification(method, params))

        result = endpoint.call_tool(args.tool, arguments, tool=tool, on_notification=say)
    _needs_no_input(result)
    if out.as_json:
        out.json(result)
    else:
        _print_blocks(result.get("content", []), out)
        if not result.get("content") and "structuredContent" in result:
            out.json(result["structuredContent"])
    return FAILED if result.get("isError") else OK


def list_prompts(args: Namespace, out: Output) -> int:
    """`prompts ls`."""
    with connect(args) as callboard:
        prompts = _endpoint(args, callboard).prompts()
    if out.as_json:
        out.json(prompts)
    else:
        rows = [
            (prompt["name"], [a["name"] for a in prompt.get("arguments") or []], _first_line(prompt))
            for prompt in prompts
        ]
        out.table(("prompt", "arguments", "description"), rows, "the playbook has no prompts")
    return OK


def get_prompt(args: Namespace, out: Output) -> int:
    """`prompts get`."""
    with connect(args) as callboard:
        result = _endpoint(args, callboard).get_prompt(args.prompt, pairs(args.arg))
    _needs_no_input(result)
    if out.as_json:
        out.json(result)
    else:
        for message in result.get("messages", []):
            out.talk(f"[{message.get('role', '')}]")
            _print_blocks([message.get("content", {})], out)
    return OK


def list_resources(args: Namespace, out: Output) -> int:
    """`resources ls`."""
    with connect(args) as callboard:
        endpoint = _endpoint(args, callboard)
        resources, templates = endpoint.resources(), endpoint.resource_templates()
    if out.as_json:
        out.json({"resources": resources, "resourceTemplates": templates})
    else:
        rows = [(r["uri"], r.get("mimeType"), r.get("name"), _first_line(r)) for r in resources]
        rows += [(r["uriTemplate"], r.get("mimeType"), r.get("name"), _first_line(r)) for r in templates]
        out.table(("uri", "type", "name", "description"), rows, "the playbook has no resources")
    return OK


def read_resource(args: Namespace, out: Output) -> int:
    """`resources read`."""
    with connect(args) as callboard:
        result = _endpoint(args, callboard).read_resource(args.uri)
    _needs_no_input(result)
    if out.as_json:
        out.json(result)
    else:
        for content in result.get("contents", []):
            out.text(content["text"] if "text" in content else f"[{_binary(content)}]")
    return OK


def _needs_no_input(result: dict[str, Any]) -> None:
    if result.get("resultType") == "input_required":
        raise Refused("the server asks for input that a command line cannot give; use an MCP client")


def _notification(method: str, params: dict[str, Any]) -> str:
    if method == "notifications/progress":
        total = f"/{params['total']:g}" if isinstance(params.get("total"), int | float) else ""
        return f"progress {params.get('progress', 0):g}{total} {params.get('message', '')}".rstrip()
    if method == "notifications/message":
        return f"{params.get('level', 'info')}: {params.get('data', '')}"
    return method


def _print_blocks(blocks: list[Any], out: Output) -> None:
    for block in blocks:
        match block.get("type"):
            case "text":
                out.text(block.get("text", ""))
            case "resource":
                inner = block.get("resource", {})
                out.text(inner["text"] if "text" in inner else f"[{_binary(inner)}]")
            case "resource_link":
                out.text(f"[resource {block.get('uri', '')}]")
            case kind:
                out.text(f"[{kind} {_binary(block)}]")


def _binary(block: dict[str, Any]) -> str:
    data = block.get("data") or block.get("blob") or ""
    return f"{block.get('mimeType', 'application/octet-stream')}, {len(data)} characters of base 64"


def _arguments(tool: dict[str, Any]) -> str:
    schema = tool.get("inputSchema") or {}
    required = set(schema.get("required") or ())
    return " ".join(name if name in required else f"[{name}]" for name in schema.get("properties") or ())


def _first_line(item: dict[str, Any]) -> str:
    return next(iter((item.get("description") or item.get("title") or "").strip().splitlines()), "")
