"""Of several playbooks served as one: which of them a request is for, or the answer for all of them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from callboard.contracts.calls import LISTEN, TASK_METHODS, RpcHead, task_owner
from callboard.contracts.problems import Problem
from callboard_router.catalogue.combined import CombinedPlaybooks
from callboard_router.catalogue.compiled import CompiledPlaybook


class _Named(msgspec.Struct):
    name: str


class _Uri(msgspec.Struct):
    uri: str


class _Page(msgspec.Struct):
    cursor: str | None = None


class _Reference(msgspec.Struct):
    type: str
    name: str = ""
    uri: str = ""


class _Referring(msgspec.Struct):
    ref: _Reference


class _Task(msgspec.Struct, rename="camel"):
    task_id: str


class _TaskIds(msgspec.Struct, rename="camel"):
    """One: an edge asks for each task of a stream by itself, so that each goes to the playbook that made it."""

    task_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=1)]


class _Listening(msgspec.Struct):
    notifications: _TaskIds


_named = msgspec.json.Decoder(_Named).decode
_uri = msgspec.json.Decoder(_Uri).decode
_page = msgspec.json.Decoder(_Page).decode
_task = msgspec.json.Decoder(_Task).decode
_listening = msgspec.json.Decoder(_Listening).decode
_referring = msgspec.json.Decoder(_Referring).decode


def resolve_among(head: RpcHead, params: bytes, combined: CombinedPlaybooks) -> CompiledPlaybook | bytes:
    """The playbook that resolves this request by its own rules, or the result; raises `Problem` for neither."""
    method = head.method
    try:
        if method == "tools/call":
            return _tool(_named(params).name, combined)
        prepared = combined.lists.get(method)
        if prepared is not None:
            return prepared.result(head.era, _page(params).cursor)
        if method == "prompts/get":
            return _prompt(_named(params).name, combined)
        if method in ("resources/read", "callboard/owner"):
            return combined.resource_owner(_uri(params).uri)
        if method == "completion/complete":
            return _completion(_referring(params).ref, combined)
        if method in TASK_METHODS:
            return _maker(_task(params).task_id, combined)
        if method == LISTEN:
            return _maker(_listening(params).notifications.task_ids[0], combined)
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


def _completion(reference: _Reference, combined: CombinedPlaybooks) -> CompiledPlaybook:
    if reference.type == "ref/prompt":
        return _prompt(reference.name, combined)
    if reference.type == "ref/resource":
        return combined.template_owner(reference.uri)
    raise Problem("argument.invalid", f"`ref.type` {reference.type!r} is neither ref/prompt nor ref/resource")
