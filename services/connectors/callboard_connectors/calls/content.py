"""What is kept of the arguments and the result of a call, where its playbook records them; pure.

This is off the path of a call: its answer is on its way already.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from callboard.contracts.calls import RESULT, CallContent
from callboard.contracts.definitions import Recording
from callboard.kernel.redaction import Redaction
from callboard_connectors.calls.domain import Ended


class _Params(msgspec.Struct):
    arguments: Any = None


_params = msgspec.json.Decoder(_Params).decode
_any = msgspec.json.Decoder().decode


@lru_cache(maxsize=256)
def _recording(packed: bytes) -> Recording:
    return msgspec.msgpack.decode(packed, type=Recording)


def content_of(packed: bytes, params: bytes, ended: Ended) -> CallContent:
    """Arguments and result as the rules of `packed` leave them."""
    rules = _recording(packed)
    content: dict[str, Any] = {}
    omitted = []
    sources = (
        ("arguments", rules.arguments, params, _arguments_of),
        ("result", rules.results and ended.kind == RESULT, ended.body, _any),
    )
    for name, wanted, raw, read in sources:
        if wanted and len(raw) > rules.max_bytes:
            omitted.append(name)
        elif wanted:
            content[name] = _read(read, raw)
    try:
        cleaned, redacted = Redaction(rules.redact).apply(content)
    except RecursionError:
        return CallContent(omitted=("arguments", "result"))
    for name in list(cleaned):
        # What is taken out leaves a word that may be longer than it was.
        if len(msgspec.json.encode(cleaned[name])) > rules.max_bytes:
            del cleaned[name]
            omitted.append(name)
    return CallContent(redacted=redacted, omitted=tuple(omitted), **cleaned)


def _arguments_of(params: bytes) -> Any:
    return _params(params).arguments


def _read(read: Any, raw: bytes) -> Any:
    try:
        return read(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
