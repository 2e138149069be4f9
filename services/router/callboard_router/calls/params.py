"""The parameters of requests, as far as the router looks into them."""

from __future__ import annotations

from typing import Annotated

import msgspec


class CallParams(msgspec.Struct, rename={"state": "requestState"}):
    """Of `tools/call`; the arguments stay as they came."""

    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    state: str = ""


class PromptParams(msgspec.Struct, rename={"state": "requestState"}):
    """Of `prompts/get`."""

    name: str
    arguments: dict[str, str] = {}
    state: str = ""


class UriParams(msgspec.Struct, rename={"state": "requestState"}):
    """Of what is about a resource."""

    uri: str
    state: str = ""


class ListParams(msgspec.Struct):
    """Of the lists."""

    cursor: str | None = None


class Reference(msgspec.Struct):
    """What a completion is for."""

    type: str
    name: str = ""
    uri: str = ""


class CompleteParams(msgspec.Struct):
    """Of `completion/complete`."""

    ref: Reference


class TaskParams(msgspec.Struct, rename="camel"):
    """Of what is about a task."""

    task_id: str


class TaskIds(msgspec.Struct, rename="camel"):
    """The tasks of a subscription: one call for each."""

    task_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=1)]


class ListenParams(msgspec.Struct):
    """Of `subscriptions/listen`."""

    notifications: TaskIds


call_params = msgspec.json.Decoder(CallParams).decode
prompt_params = msgspec.json.Decoder(PromptParams).decode
uri_params = msgspec.json.Decoder(UriParams).decode
list_params = msgspec.json.Decoder(ListParams).decode
complete_params = msgspec.json.Decoder(CompleteParams).decode
task_params = msgspec.json.Decoder(TaskParams).decode
listen_params = msgspec.json.Decoder(ListenParams).decode
