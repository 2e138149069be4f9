"""What a tool or prompt of the everything server sees: one call, in whichever era it came."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

Context = ServerRequestContext[Any, Any]
Answers = dict[str, dict[str, Any]]
Questions = Mapping[str, types.InputRequest]

BEGUN = "everything.begun"
"""Key of a request's scope: set once the first bytes of its answer are out."""
_BEGUN_SECONDS = 5.0
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_CAPABILITY = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
_ANSWER: dict[str, type[types.Result]] = {
    "elicitation/create": types.ElicitResult,
    "sampling/createMessage": types.CreateMessageResult,
    "roots/list": types.ListRootsResult,
}


class InputNeeded(Exception):
    """The client must answer first; carries the result that says so."""

    def __init__(self, result: types.InputRequiredResult) -> None:
        super().__init__("input required")
        self.result = result


def session_key(context: Context) -> str | None:
    """The id of a handshake session, wherever its transport keeps it; there is only one over stdio."""
    if isinstance(context.request, Request):
        return context.request.headers.get("mcp-session-id") or context.request.query_params.get("session_id")
    return context.request if isinstance(context.request, str) else None


@dataclass
class Board:
    """What the server's calls share: what can change, and who wants to hear of it."""

    bus: InMemorySubscriptionBus = field(default_factory=InMemorySubscriptionBus)
    sessions: dict[str | None, ServerSession] = field(default_factory=dict)
    levels: dict[str | None, str] = field(default_factory=dict)
    watched: dict[str | None, set[str]] = field(default_factory=dict)
    extra_tool: bool = False
    extra_prompt: bool = False
    revision: int = 1

    async def announce(self, event: ServerEvent) -> None:
        """Tell the subscribers of the 2026 era, and every handshake session it concerns."""
        await self.bus.publish(event)
        for key, session in tuple(self.sessions.items()):
            with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                await self._tell(event, key, session)

    async def _tell(self, event: ServerEvent, key: str | None, session: ServerSession) -> None:
        if isinstance(event, ToolsListChanged):
            await session.send_tool_list_changed()
        elif isinstance(event, PromptsListChanged):
            await session.send_prompt_list_changed()
        elif isinstance(event, ResourceUpdated) and event.uri in self.watched.get(key, ()):
            await session.send_resource_updated(event.uri)


@dataclass
class Call:
    """A tools/call or prompts/get. `answers` came with this request, `remembered` with its requestState."""

    context: Context
    board: Board
    arguments: Mapping[str, Any]
    answers: Answers
    state: str | None

    def __post_init__(self) -> None:
        self.remembered: Answers = json.loads(self.state) if self.state else {}

    @property
    def modern(self) -> bool:
        return self.context.protocol_version in MODERN_PROTOCOL_VERSIONS

    def declared(self, capability: str) -> bool:
        capabilities = self.context.session.client_capabilities
        return getattr(capabilities, capability, None) is not None

    async def ask(self, questions: Questions, remember: bool = False) -> Answers:
        """Put questions to the client: as requests in the handshake era, as an interim result in 2026.

        With `remember` a requestState carries earlier answers, and answers without it do not count.
        """
        for question in questions.values():
            self._require(_CAPABILITY[question.method])
        if not self.modern:
            return await self._push_all(questions)
        counted = self.answers if self.state is not None or not remember else {}
        known = {**self.remembered, **counted}
        if all(key in known for key in questions):
            self.remembered.update({key: known[key] for key in questions})
            return {key: known[key] for key in questions}
        state = json.dumps(self.remembered) if remember else None
        raise InputNeeded(types.InputRequiredResult(input_requests=dict(questions), request_state=state))

    async def close_stream(self) -> bool:
        """Close the stream of this call, where it is one that its client can come back to; whether it is.

        Not before the client was told an event to go on from: the SDK closes a stream that has not begun as well, and
        then the client knows no event.
        """
        if self.context.close_sse_stream is None or self.context.request is None:
            return False
        with anyio.fail_after(_BEGUN_SECONDS):
            await self.context.request.scope[BEGUN].wait()
        await self.context.close_sse_stream()
        return True

    async def log(self, level: types.LoggingLevel, text: str) -> None:
        wanted = self.board.levels.get(session_key(self.context), "debug")
        if self.modern or LEVELS.index(level) >= LEVELS.index(wanted):
            session, request_id = self.context.session, self.context.request_id
            await session.send_log_message(level, text, "everything", related_request_id=request_id)

    def _require(self, capability: str) -> None:
        if not self.declared(capability):
            raise MCPError(
                types.MISSING_REQUIRED_CLIENT_CAPABILITY if self.modern else types.INVALID_REQUEST,
                f"The client does not declare {capability}",
                {"requiredCapabilities": {capability: {}}},
            )

    async def _push_all(self, questions: Questions) -> Answers:
        """All at once: a handshake server need not wait for one answer before it asks the next question."""
        answers: Answers = {}

        async def push(key: str, question: types.InputRequest) -> None:
            answers[key] = await self._push(question)

        async with anyio.create_task_group() as asking:
            for key, question in questions.items():
                asking.start_soon(push, key, question)
        return answers

    async def _push(self, question: types.InputRequest) -> dict[str, Any]:
        related = ServerMessageMetadata(related_request_id=self.context.request_id)
        result = await self.context.session.send_request(question, _ANSWER[question.method], metadata=related)
        return plain(result)


def plain(model: types.Result) -> dict[str, Any]:
    """A model as the wire has it."""
    return model.model_dump(by_alias=True, exclude_none=True, mode="json")


def elicit(message: str, properties: dict[str, Any], required: list[str] | None = None) -> types.ElicitRequest:
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required or []}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, max_tokens: int = 100) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(text=prompt))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def roots() -> types.ListRootsRequest:
    return types.ListRootsRequest()
