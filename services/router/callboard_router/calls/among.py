"""Of several playbooks served as one: which of them a request is for, or the answer for all of them."""

from __future__ import annotations

import msgspec

from callboard.contracts.calls import LISTEN, TASK_METHODS, RpcHead, task_owner
from callboard.contracts.problems import Problem
from callboard_router.calls.params import (
    Reference,
    call_params,
    complete_params,
    list_params,
    listen_params,
    task_params,
    uri_params,
)
from callboard_router.catalogue.combined import CombinedPlaybooks
from callboard_router.catalogue.compiled import CompiledPlaybook


def resolve_among(head: RpcHead, params: bytes, combined: CombinedPlaybooks) -> CompiledPlaybook | bytes:
    """The playbook that resolves this request by its own rules, or the result; raises `Problem` for neither."""
    method = head.method
    try:
        if method == "tools/call":
            return _tool(call_params(params).name, combined)
        prepared = combined.lists.get(method)
        if prepared is not None:
            return prepared.result(head.era, list_params(params).cursor)
        if method == "prompts/get":
            return _prompt(call_params(params).name, combined)
        if method in ("resources/read", "callboard/owner"):
            return combined.resource_owner(uri_params(params).uri)
        if method == "completion/complete":
            return _completion(complete_params(params).ref, combined)
        if method in TASK_METHODS:
            return _maker(task_params(params).task_id, combined)
        if method == LISTEN:
            return _maker(listen_params(params).notifications.task_ids[0], combined)
        if method == "callboard/open":
            return combined.opened
    except msgspec.ValidationError as error:
        raise Problem("argument.invalid", f"params of {method}: {error}") from None
    raise Problem("method.unknown", f"method {method!r} is not offered here", method=method)


def _maker(id: str, combined: CombinedPlaybooks) -> CompiledPlaybook:
    owner = task_owner(id)
    return combined.task_owner(owner.playbook if owner is not None else "")


def _tool(name: str, combined: CombinedPlaybooks) -> CompiledPlaybook:
    owner = combined.tools.get(name)
    if owner is None:
        raise Problem("tool.unknown", f"Unknown tool: {name}", tool=name)
    return owner


def _prompt(name: str, combined: CombinedPlaybooks) -> CompiledPlaybook:
    owner = combined.prompts.get(name)
    if owner is None:
        raise Problem("prompt.unknown", f"Unknown prompt: {name}", prompt=name)
    return owner


def _completion(reference: Reference, combined: CombinedPlaybooks) -> CompiledPlaybook:
    if reference.type == "ref/prompt":
        return _prompt(reference.name, combined)
    if reference.type == "ref/resource":
        return combined.template_owner(reference.uri)
    raise Problem("argument.invalid", f"`ref.type` {reference.type!r} is neither ref/prompt nor ref/resource")
