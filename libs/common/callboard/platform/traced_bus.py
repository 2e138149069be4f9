"""Spans of commands and questions on the bus: what comes with a sampled `traceparent` in its headers gets one.

Above: `bus.py`, which has this middleware only where there is a collector, and sends the header on.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
from faststream import BaseMiddleware, StreamMessage
from nats.aio.msg import Msg

from callboard.contracts.problems import Problem
from callboard.platform.span_names import DESTINATION, MESSAGING, ORGANISATION, PLAYBOOK
from callboard.platform.telemetry import child_traceparent
from callboard.platform.traces import Span, Traces, following, is_sampled

HEADER = "traceparent"


class _About(msgspec.Struct):
    organisation: str = ""
    playbook: str = ""


_about = msgspec.json.Decoder(_About).decode


class TracedMessages(BaseMiddleware[Any, Any]):
    """One message; inside of what turns refusals into answers."""

    def __init__(self, traces: Traces, msg: Any, /, *, context: Any) -> None:
        super().__init__(msg, context=context)
        self._traces = traces

    @classmethod
    def of(cls, traces: Traces) -> Callable[..., TracedMessages]:
        """What FastStream makes one of for each message."""
        return partial(cls, traces)

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]) -> Any:
        """Handle the message; what is asked of others meanwhile is traced with it."""
        parent = str(msg.headers.get(HEADER, ""))
        if not is_sampled(parent):
            return await call_next(msg)
        own, began, fault = child_traceparent(parent), time.time_ns(), ""
        try:
            with following(own):
                return await call_next(msg)
        except Exception as error:
            fault = error.code if isinstance(error, Problem) else "internal.unexpected"
            raise
        finally:
            subject = _subject(msg.raw_message)
            attributes = {MESSAGING: "nats", DESTINATION: subject, **_names(msg.body)}
            name = ".".join(subject.split(".")[1:4])
            self._traces.note(Span(own, parent, name, "server", began, time.time_ns(), attributes, fault))


def _subject(raw: Any) -> str:
    return raw.subject if isinstance(raw, Msg) else ""


def _names(body: Any) -> dict[str, str]:
    """What a command is about, as far as its message says so under the usual names."""
    try:
        about = _about(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
        return {}
    named = {ORGANISATION: about.organisation, PLAYBOOK: about.playbook}
    return {key: value for key, value in named.items() if value}
