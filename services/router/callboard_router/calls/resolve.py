"""From a client's request to its answer or its target: which server, under which name, may it be sent."""

from __future__ import annotations

from typing import Any

import msgspec

from callboard.contracts.calls import LISTEN, MODERN, TASK_METHODS, RpcHead, holder_of, task_owner
from callboard.contracts.playbooks import ResourceOwner
from callboard.contracts.problems import Problem
from callboard.kernel.extensions import TASKS, declares, missing_extension
from callboard.kernel.names import is_restricted, is_slug
from callboard.kernel.plain_json import plain
from callboard.kernel.prompt_template import fill
from callboard_router.calls.params import (
    call_params,
    complete_params,
    list_params,
    listen_params,
    prompt_params,
    task_params,
    uri_params,
)
from callboard_router.catalogue.compiled import CompiledPlaybook, RuleBroken, ToolRoute
from callboard_router.catalogue.deadlines import Limits
from callboard_router.catalogue.drift import refuse_held


class Target(msgspec.Struct, frozen=True):
    """Where a request goes. `wire_name`: the playbook's own name for it, also where several are served as one.

    `holder`: the worker that holds the call which this request goes on with. `is_task`: it is about a task, whose
    server need not be one of the playbook's any more. `params`: sent instead of the client's, where the
    playbook adds to them.
    """

    server: str
    upstream_name: str
    wire_name: str
    digest: str
    limits: Limits
    holder: str = ""
    is_task: bool = False
    params: bytes = b""


class Answer(msgspec.Struct, frozen=True):
    """A result the router gives itself; `refused` says why when it stands for a call that was not sent."""

    result: bytes
    refused: str = ""
    wire_name: str = ""
    server: str = ""
    digest: str = ""


def resolve(head: RpcHead, params: bytes, playbook: CompiledPlaybook) -> Target | Answer:
    """Decide what happens to one request; raises `Problem` for what cannot be answered."""
    if head.anonymous and playbook.definition.access != "anonymous":
        raise Problem("auth.required", "this playbook wants a token")
    method = head.method
    try:
        if method == "tools/call":
            return _tool(head, params, playbook)
        prepared = playbook.lists.get(method)
        if prepared is not None:
            return Answer(prepared.result(head.era, list_params(params).cursor))
        if method == "prompts/get":
            return _prompt(head, params, playbook)
        if method == "resources/read":
            return _resource(head.era, params, playbook)
        if method == "completion/complete":
            return _completion(head.era, params, playbook)
        if method in TASK_METHODS:
            return _about_task(head, task_params(params).task_id, playbook)
        if method == LISTEN:
            return _about_task(head, listen_params(params).notifications.task_ids[0], playbook)
        if method == "callboard/open":
            return Answer(playbook.opened)
        if method == "callboard/owner":
            server, _ = playbook.resource_server(uri_params(params).uri)
            return Answer(msgspec.json.encode(ResourceOwner(server=server)))
    except msgspec.ValidationError as error:
        raise Problem("argument.invalid", f"params of {method}: {error}") from None
    raise Problem("method.unknown", f"method {method!r} is not offered here", method=method)


def _tool(head: RpcHead, params: bytes, playbook: CompiledPlaybook) -> Target | Answer:
    call = call_params(params)
    route = playbook.tools.get(call.name)
    if route is None:
        refuse_held("tool", call.name, playbook.held)
        raise Problem("tool.unknown", f"Unknown tool: {call.name}", tool=call.name)
    if route.demand is not None:
        refusal = route.demand.refusal(head)
        if refusal:
            return _tool_error(head, f"Not allowed here: {refusal}", "policy.denied", route)
    arguments: Any = plain(call.arguments)
    if not isinstance(arguments, dict):
        raise Problem("argument.invalid", "`arguments` must be an object", tool=call.name)
    if route.mirrored and head.param_headers is not None:
        fault = route.mirror_fault(arguments, head.param_headers)
        if fault is not None:
            raise Problem("header.mismatch", fault, tool=call.name)
    filled = b""
    if route.filling is not None:
        filled, given = route.filling.filled(params)
        arguments = plain(given)
    try:
        faults = route.faults(arguments)
    except RuleBroken as broken:
        return _tool_error(head, f"Not allowed here: {broken}", "policy.denied", route)
    if faults:
        text = f"Invalid arguments for tool {call.name}: " + "; ".join(faults)
        return _tool_error(head, text, "argument.invalid", route)
    holder = _holder(call.state) if call.state else ""
    return Target(route.server, route.name, route.wire, route.digest, route.limits, holder, False, filled)


def _holder(state: str) -> str:
    worker = holder_of(state)
    if worker is None:
        return ""
    if not is_restricted(worker):
        raise Problem("call.state_invalid", "the requestState is not one of ours")
    return worker


def _tool_error(head: RpcHead, text: str, refused: str, route: ToolRoute) -> Answer:
    # A tool execution error and not a protocol error, so that the model sees it and can correct itself
    # (MCP 2025-11-25, server/tools, error handling).
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": True}
    if head.era == MODERN:
        result["resultType"] = "complete"
    return Answer(msgspec.json.encode(result), refused, route.wire, route.server, route.digest)


def _prompt(head: RpcHead, params: bytes, playbook: CompiledPlaybook) -> Target | Answer:
    wanted = prompt_params(params)
    entry = playbook.prompts.get(wanted.name)
    if entry is None:
        refuse_held("prompt", wanted.name, playbook.held)
        raise Problem("prompt.unknown", f"Unknown prompt: {wanted.name}", prompt=wanted.name)
    if entry.stored is None:
        limits = playbook.limits(entry.server)
        return Target(entry.server, entry.item.name, entry.wire, entry.item.digest, limits, _holder(wanted.state))
    text = fill(wanted.name, entry.stored, wanted.arguments)
    result: dict[str, Any] = {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}
    if entry.stored.description:
        result["description"] = entry.stored.description
    if head.era == MODERN:
        result["resultType"] = "complete"
    return Answer(msgspec.json.encode(result))


def _resource(era: str, params: bytes, playbook: CompiledPlaybook) -> Target | Answer:
    read = uri_params(params)
    stored = playbook.stored.get(read.uri)
    if stored is not None:
        return Answer(stored.result(era))
    server, digest = playbook.resource_server(read.uri)
    return Target(server, read.uri, read.uri, digest, playbook.limits(server), _holder(read.state))


def _completion(era: str, params: bytes, playbook: CompiledPlaybook) -> Target | Answer:
    reference = complete_params(params).ref
    if reference.type == "ref/prompt":
        entry = playbook.prompts.get(reference.name)
        if entry is None:
            refuse_held("prompt", reference.name, playbook.held)
            raise Problem("prompt.unknown", f"Unknown prompt: {reference.name}", prompt=reference.name)
        if entry.stored is not None:
            return _no_completion(era)
        return Target(entry.server, entry.item.name, entry.wire, entry.item.digest, playbook.limits(entry.server))
    if reference.type == "ref/resource":
        owner = playbook.template_owner(reference.uri) or playbook.resource_owner(reference.uri)
        if owner.resource is not None:
            return _no_completion(era)
        return Target(owner.server, reference.uri, reference.uri, owner.item.digest, playbook.limits(owner.server))
    raise Problem("argument.invalid", f"`ref.type` {reference.type!r} is neither ref/prompt nor ref/resource")


def _no_completion(era: str) -> Answer:
    tail = b',"resultType":"complete"}' if era == MODERN else b"}"
    return Answer(b'{"completion":{"values":[],"total":0,"hasMore":false}' + tail)


def _about_task(head: RpcHead, id: str, playbook: CompiledPlaybook) -> Target:
    """To whoever the id names; the connector that opens it sees whether that is true, and whose task it is."""
    owner = task_owner(id)
    if owner is None and not playbook.makes_tasks:
        raise Problem("method.unknown", f"no server of the playbook makes tasks: {head.method}", method=head.method)
    if head.era == MODERN and not declares(head.capabilities, TASKS):
        raise missing_extension(TASKS)
    if owner is None or owner.playbook != playbook.name:
        raise unknown_task()
    if (
        not is_slug(owner.server)
        or not is_restricted(owner.holder or "-")
        or not playbook.admits_task(owner.server, owner.tool, head)
    ):
        raise unknown_task()
    # Waiting for a task, or for news of it, is silence by nature.
    patient = playbook.limits(owner.server)._replace(idle=0, ask_progress=False)
    return Target(owner.server, "", "", "", patient, owner.holder, is_task=True)


def unknown_task() -> Problem:
    """The same words as for a task that is another's: an id tells nothing that was not told before."""
    return Problem("task.unknown", "Task not found")
