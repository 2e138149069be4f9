"""Hypothesis strategies for what an upstream says: results, errors, notifications, definitions; as JSON texts."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.fidelity.json_texts import (
    ODD_TEXTS,
    integers,
    metas,
    numbers,
    object_of,
    objects,
    opaque,
    spaces,
    spelled_array,
    spelled_object,
    strings,
    values,
)
from tests.support.upstreams.scripted import ID, TOKEN, Script

METHODS = ("tools/call", "prompts/get", "resources/read", "completion/complete")


def one(text: str) -> SearchStrategy[str]:
    """A text as it is."""
    return st.just(text)


def arrays(items: SearchStrategy[str], most: int = 3) -> SearchStrategy[str]:
    """An array of these."""
    return st.builds(spelled_array, st.lists(items, max_size=most), spaces)


booleans = st.sampled_from(("true", "false"))
uris = st.sampled_from(("test://a", "file:///ü", "ui://x/y?z#f", "urn:x")).map(json.dumps)
base64s = st.sampled_from(('""', '"AAAA"', '"iVBORw0KGgo\\u003d"'))
_annotations = opaque(object_of({}, {"audience": one('["user"]'), "priority": numbers, "lastModified": strings}))
_common = {"_meta": metas, "annotations": _annotations}
_resource = opaque(
    st.one_of(
        object_of({"uri": uris, "text": strings}, {"mimeType": strings, "_meta": metas}),
        object_of({"uri": uris, "blob": base64s}, {"mimeType": strings, "_meta": metas}),
    )
)
content_blocks = opaque(
    st.one_of(
        object_of({"type": one('"text"'), "text": strings}, _common),
        object_of({"type": one('"image"'), "data": base64s, "mimeType": strings}, _common),
        object_of({"type": one('"audio"'), "data": base64s, "mimeType": strings}, _common),
        object_of({"type": one('"resource"'), "resource": _resource}, _common),
        object_of({"type": one('"resource_link"'), "uri": uris, "name": strings}, {**_common, "size": numbers}),
        object_of({"type": one('"com.example/new"')}),
    )
)
# A kind of result that no revision knows would not be a result of this one.
_result = {"_meta": metas, "resultType": one('"complete"')}
_NOT_HERE = frozenset({"resultType"})
RESULTS: dict[str, SearchStrategy[str]] = {
    "tools/call": object_of(
        {"content": arrays(content_blocks)},
        {**_result, "structuredContent": values, "isError": booleans},
        forbidden=_NOT_HERE,
    ),
    "prompts/get": object_of(
        {"messages": arrays(object_of({"role": one('"user"'), "content": content_blocks}))},
        {**_result, "description": strings},
        forbidden=_NOT_HERE,
    ),
    "resources/read": object_of(
        {"contents": arrays(_resource)},
        {**_result, "ttlMs": integers, "cacheScope": st.sampled_from(('"public"', '"private"'))},
        forbidden=_NOT_HERE,
    ),
    "completion/complete": object_of(
        {"completion": object_of({"values": arrays(strings)}, {"total": integers, "hasMore": booleans})},
        _result,
        forbidden=_NOT_HERE,
    ),
}
_asked = object_of(
    {"method": one('"elicitation/create"'), "params": object_of({"message": strings}, {"_meta": metas})}, unknown=False
)
INPUT_REQUIRED = object_of(
    {"resultType": one('"input_required"'), "inputRequests": _asked.map(lambda asked: '{"k":' + asked + "}")},
    {"requestState": strings, "_meta": metas},
)
# Codes that the protocol has for the transport itself mean something to every hop.
error_codes = st.one_of(
    st.sampled_from((-32700, -32600, -32601, -32602, -32603, -32000, -32002, -32042, 0, 1, 2**31, -(2**40))),
    st.integers(-(10**6), 10**6),
).filter(lambda code: not -32022 <= code <= -32020)


def errors(code: int) -> SearchStrategy[str]:
    """An error object with this code."""
    return object_of({"code": one(str(code)), "message": strings}, {"data": values})


_levels = st.sampled_from(("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"))
progress = object_of(
    {"progressToken": one(TOKEN), "progress": numbers}, {"total": numbers, "message": strings, "_meta": metas}
).map(lambda params: ("notifications/progress", params))
log_messages = object_of({"level": _levels.map(json.dumps), "data": values}, {"logger": strings, "_meta": metas}).map(
    lambda params: ("notifications/message", params)
)
others = objects.map(lambda params: ("notifications/com.example/news", params))


def _notification(parts: tuple[str, str], space: str) -> str:
    method, params = parts
    return spelled_object([("jsonrpc", '"2.0"'), ("method", json.dumps(method)), ("params", params)], space)


notifications = st.builds(_notification, st.one_of(progress, log_messages, others), spaces)


def answer(kind: str, body: str, space: str, spell: int = 0) -> str:
    """A whole response; `kind` is `result` or `error`."""
    return spelled_object([("jsonrpc", '"2.0"'), ("id", ID), (kind, body)], space, spell)


@dataclass(frozen=True)
class Example:
    """One request, and what the upstream answers to it. `asks`: it answers with questions to the client."""

    method: str
    script: Script
    token: str
    asks: bool = False


tokens = st.one_of(
    st.integers(0, 2**40).map(str), st.sampled_from(('"t"', '"\\u00e9 1"', '"7"', "7", '"' + "long" * 50 + '"'))
)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    """Some notifications, then a result or an error; as JSON or as events, in pieces or whole."""
    method = draw(st.sampled_from(METHODS))
    said = draw(st.one_of(st.just([]), st.lists(notifications, max_size=4)))
    around = draw(spaces), draw(st.sampled_from((0, 0, 0, 1, 2)))
    code, asks = 0, draw(st.integers(0, 9)) == 0
    if asks:
        method = draw(st.sampled_from(("tools/call", "prompts/get")))
        last = answer("result", draw(INPUT_REQUIRED), *around)
    elif draw(st.integers(0, 3)):
        last = answer("result", draw(RESULTS[method]), *around)
    else:
        code = draw(error_codes)
        last = answer("error", draw(errors(code)), *around)
    cut = draw(st.sampled_from((0, 0, 0, 7, 100, 4096)))
    sse = bool(said) or (code == 0 and draw(st.booleans()))
    eol = draw(st.sampled_from(("\n", "\n", "\r\n", "\r")))
    script = Script([*said, last], eol, sse=sse, cut=0 if code else cut, code=code)
    return Example(method, script, draw(tokens), asks)


# ------------------------------------------------------------------------------------------ requests

argument_objects = st.one_of(
    objects, object_of({"path": strings, "count": numbers}), object_of({}, {"x": values, "name": strings})
)
prompt_arguments = st.builds(
    lambda pairs, space, spell: spelled_object(list(pairs.items()), space, spell),
    st.dictionaries(st.sampled_from(ODD_TEXTS), strings, max_size=3),
    spaces,
    st.integers(0, 3),
)


@dataclass(frozen=True)
class Request:
    """The `params` of a request, apart from what the test puts in: (key, text) in order, and `_meta`.

    `template`: a completion is about a resource template and not about a prompt.
    """

    method: str
    pairs: tuple[tuple[str, str], ...]
    meta: tuple[tuple[str, str], ...]
    space: str
    token: str
    spell: int = 0
    template: bool = False


_OWN = ("script", "publish", "cursor", "name", "uri", "ref", "arguments", "argument", "_meta", "requestState",
        "inputResponses", "task")  # fmt: skip
_RETRY = {"requestState": strings, "inputResponses": objects}
_ARGUMENTS = {
    "tools/call": argument_objects,
    "prompts/get": prompt_arguments,
    "resources/read": objects,
    "completion/complete": objects,
}


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A request with any arguments, members nobody knows and `_meta` keys of the client's own."""
    method = draw(st.sampled_from(METHODS))
    keys = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
    more = st.dictionaries(keys.filter(lambda key: key not in _OWN), values, max_size=2)
    meta_keys = st.one_of(st.sampled_from(("com.example/a", "trace", "x/é", "baggage")), keys)
    reserved = ("progressToken", "traceparent", "tracestate")
    meta = st.dictionaries(meta_keys.filter(lambda key: key not in reserved), values, max_size=2)
    pairs = {**draw(more), "arguments": draw(_ARGUMENTS[method])}
    pairs |= {key: draw(value) for key, value in _RETRY.items() if draw(st.integers(0, 3)) == 0}
    return Request(
        method,
        tuple(draw(st.permutations(list(pairs.items())))),
        tuple(draw(meta).items()),
        draw(spaces),
        draw(st.one_of(st.just(""), tokens)),
        draw(st.sampled_from((0, 0, 0, 1, 2))),
        draw(st.booleans()),
    )
