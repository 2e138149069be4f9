"""What happens to the bytes of a call: nothing, beside what has to."""

from __future__ import annotations

import json

import msgspec
import pytest

from callboard.contracts.calls import CallHead
from callboard.contracts.problems import Problem
from callboard_connectors.calls.domain import build_request, error_body, forwarded, lost_call, settle, splice
from callboard_connectors.transports.envelope import decode


def head(method: str = "tools/call", **changes: object) -> CallHead:
    values = {
        "call_id": "c1",
        "method": method,
        "organisation": "acme",
        "playbook": "start",
        "version": 1,
        "server": "git",
        "upstream_name": "log",
        "wire_name": "git__log",
        "digest": "",
        "reply_to": "_INBOX.edge.1",
        "era": "2026-07-28",
        "client": "a",
        "principal": "k",
        "deadline": 0,
        "received": 0,
        "routed": 0,
    }
    return CallHead(**values | changes)  # type: ignore[arg-type]  # the struct's own types


def built(params: bytes, modern: bool, **changes: object) -> bytes:
    return build_request(head(**changes), params, 5, modern).message  # type: ignore[arg-type]


def test_everything_but_the_name_keeps_its_bytes_and_order() -> None:
    params = (
        b'{"z": [1.0, 1e5,\n 10000000000000000001], "name":"git__log","arguments": {"b":"\\u00e4", "a" : {}},"x":null}'
    )
    message = built(params, modern=False)
    assert message == (
        b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"z":[1.0, 1e5,\n 10000000000000000001],'
        b'"name":"log","arguments":{"b":"\\u00e4", "a" : {}},"x":null}}'
    )


META = (
    b'{"name":"n","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","vendor/a": {"k" : 1},'
    b'"io.modelcontextprotocol/clientInfo":{"name":"me"},"io.modelcontextprotocol/clientCapabilities":{},'
    b'"io.modelcontextprotocol/logLevel":"debug","progressToken":"tok"}}'
)


def test_a_handshake_upstream_gets_no_meta_of_the_stateless_era() -> None:
    request = build_request(head(), META, 9, False)
    assert b'"_meta":{"vendor/a":{"k" : 1},"progressToken":9}' in request.message
    assert request.client_token == b'"tok"'


def test_a_stateless_upstream_gets_ours_and_the_capabilities_of_the_caller() -> None:
    meta = json.loads(built(META, True, capabilities=b'{"sampling":{}}', traceparent="00-a"))["params"]["_meta"]
    assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "callboard"
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {"sampling": {}}
    assert meta["io.modelcontextprotocol/logLevel"] == "debug"
    assert meta["traceparent"] == "00-a"
    legacy = json.loads(built(b'{"name":"n"}', True, era="2025-11-25", log_level="error"))["params"]["_meta"]
    assert legacy["io.modelcontextprotocol/logLevel"] == "error"
    assert legacy["io.modelcontextprotocol/clientCapabilities"] == {}


def test_a_completion_names_the_upstreams_prompt_and_leaves_templates_alone() -> None:
    prompt = b'{"ref":{"type":"ref/prompt","name":"git__p"},"argument":{"name":"a","value":"b"}}'
    changed = json.loads(built(prompt, False, method="completion/complete", upstream_name="p"))
    assert changed["params"]["ref"] == {"type": "ref/prompt", "name": "p"}
    template = b'{"ref":{"type":"ref/resource","uri":"x://{a}"},"argument":{"name":"a","value":"b"}}'
    kept = json.loads(built(template, False, method="completion/complete", upstream_name="p"))
    assert kept["params"]["ref"] == {"type": "ref/resource", "uri": "x://{a}"}


def test_a_resource_is_named_by_its_uri() -> None:
    assert build_request(head("resources/read"), b'{"uri":"test://a"}', 1, True).name == "test://a"


@pytest.mark.parametrize("params", [b"[1]", b'{"_meta":3}', b"nonsense"])
def test_params_that_are_no_object_are_refused(params: bytes) -> None:
    with pytest.raises(Problem) as refused:
        built(params, False)
    assert refused.value.code == "argument.invalid"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"{}", b'{"resultType":"complete"}'),
        (b"{ \n}", b'{"resultType":"complete" \n}'),
        (b'{"content": [ ]}', b'{"resultType":"complete","content": [ ]}'),
        (b'{"resultType":"complete","x":1}', b'{"resultType":"complete","x":1}'),
        (b'{"x":{"resultType":"no"}}', b'{"resultType":"complete","x":{"resultType":"no"}}'),
    ],
)
def test_a_result_type_is_put_in_front_when_it_is_missing(raw: bytes, expected: bytes) -> None:
    assert settle(head(), raw).body == expected
    assert settle(head(era="2025-11-25"), raw).body == raw


def test_a_resource_read_is_not_cacheable_unless_the_server_says_so() -> None:
    read = json.loads(settle(head("resources/read"), b'{"contents":[],"ttlMs":5}').body)
    assert read == {"resultType": "complete", "cacheScope": "private", "contents": [], "ttlMs": 5}
    assert splice(b'{"a":1}', b'"b":2,') == b'{"b":2,"a":1}'


@pytest.mark.parametrize("raw", [b'"text"', b"[]", b"null", b'{"a":"\xff"}'])
def test_a_result_that_is_no_object_is_an_invalid_answer(raw: bytes) -> None:
    with pytest.raises(Problem) as refused:
        settle(head(), raw)
    assert refused.value.code == "server.invalid_answer"
    assert "'git'" in refused.value.message


def test_the_outcome_of_a_tool_is_seen_at_the_top_only() -> None:
    assert settle(head(), b'{"content":[],"isError":true}').outcome == "tool_error"
    assert settle(head(), b'{"content":[{"isError":true}],"isError":false}').outcome == "ok"


def note(method: str, params: object) -> tuple[object, bytes]:
    raw = msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params})
    return decode(raw), raw


def test_progress_gets_the_token_of_the_client_back() -> None:
    found, raw = note("notifications/progress", {"progressToken": 5, "progress": 1, "message": "x"})
    sent = forwarded(head(), found, raw, 5, b'"tok"', "")  # type: ignore[arg-type]
    assert sent is not None
    assert json.loads(sent)["params"] == {"progressToken": "tok", "progress": 1, "message": "x"}
    assert forwarded(head(), found, raw, 6, b'"tok"', "") is None  # type: ignore[arg-type]
    assert forwarded(head(), found, raw, 5, b"", "") is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("era", "level", "heard"),
    [
        ("2026-07-28", "", False),
        ("2026-07-28", "warning", False),
        ("2026-07-28", "info", True),
        ("2026-07-28", "debug", True),
        ("2025-11-25", "", True),
        ("2025-11-25", "warning", False),
        ("2025-11-25", "info", True),
    ],
)
def test_log_messages_reach_a_client_from_its_level_on(era: str, level: str, heard: bool) -> None:
    found, raw = note("notifications/message", {"level": "info", "data": "x"})
    assert (forwarded(head(era=era), found, raw, 1, b"", level) == raw) is heard  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scope", "principal", "seen"),
    [("public", "k", "private"), ("public", "anonymous", "public"), ("private", "anonymous", "private")],
)
def test_what_took_a_token_to_read_is_private(scope: str, principal: str, seen: str) -> None:
    raw = b'{"contents":[{"uri":"a","text":"\\u00e4 1.0"}],"ttlMs":5,"cacheScope":"%b","resultType":"complete"}'
    read = head(method="resources/read", principal=principal)
    settled = settle(read, raw % scope.encode()).body  # type: ignore[arg-type]
    assert settled == raw % seen.encode()


def test_only_a_tool_that_was_sent_has_an_unknown_outcome() -> None:
    assert lost_call(head(), "it died", sent=True).code == "call.outcome_unknown"
    assert lost_call(head(), "it died", sent=False).code == "server.unavailable"
    assert lost_call(head("prompts/get"), "it died", sent=True).code == "server.unavailable"
    body = json.loads(error_body(lost_call(head(), "it died", sent=True), head()))
    assert body["code"] == -32001
    assert body["data"]["call_id"] == "c1"
    assert "not sent again" in body["data"]["hint"]
