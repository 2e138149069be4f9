"""Structured logs (JSON lines on stderr, secrets redacted by key at every depth) and W3C trace context.

The trace context travels in any case; spans are made and sent only where `otlp_endpoint` is set (`traces.py`).
"""

from __future__ import annotations

import logging
import os
import random
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

REDACTED = "[redacted]"
# Ids of traces are no secrets; asking the kernel for each would cost more than all else that is done for it.
_chance = random.Random(os.urandom(32))
_NOT_ZERO = 1 << 64 | 1
_TRACEPARENT = re.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SECRET_WORDS = ("token", "secret", "password", "authorization", "credential", "api_key", "apikey", "cookie")


def redact(value: Any, key: str = "") -> Any:
    """The value without anything that stands under a key that sounds like a secret."""
    if key and any(word in key.lower() for word in _SECRET_WORDS):
        return REDACTED
    if isinstance(value, dict):
        return {k: redact(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in event:
        if key != "event":
            event[key] = redact(event[key], key)
    return event


def configure_logs(room: str, instance: str, level: str) -> None:
    """One JSON object per line on stderr with room, instance, level and time."""
    numeric = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redact_event,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(room=room, instance=instance)
    # The pool tells of every attempt to reach a database that is away; the rooms say that once themselves.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    logging.basicConfig(level=max(numeric, logging.WARNING), stream=sys.stderr, format="%(message)s")


def new_traceparent() -> str:
    """A fresh W3C traceparent, not sampled (https://www.w3.org/TR/trace-context/#traceparent-header)."""
    chance = (_chance.getrandbits(192) | _NOT_ZERO).to_bytes(24, "big")
    return f"00-{chance.hex('-', -16)}-00"


def child_traceparent(traceparent: str) -> str:
    """The same trace and flags with a new parent id."""
    return f"{traceparent[:36]}{_chance.getrandbits(64) | 1:016x}{traceparent[52:]}"


def is_traceparent(text: str) -> bool:
    """Whether the text is a version-00 traceparent whose ids are not zero."""
    return _TRACEPARENT.fullmatch(text) is not None
