from __future__ import annotations

import pytest

from callboard_edge.mcp import envelope
from callboard_edge.mcp.envelope import Refused, parse, read_params


def refusal(body: bytes) -> tuple[int, bytes]:
    with pytest.raises(Refused) as refused:
        read_params(parse(body))
    return refused.value.code, refused.value.id


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"nonsense", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"} trailing', -32700),
        (b'\xff\xfe{"jsonrpc":"2.0"}', -32700),
        (b"[" * 100_000, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"\\ud800"}}', -32700),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
        (b"[]", -32600),
        (b'"text"', -32600),
        (b"null", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":7}}', -32602),
    ],
)
def test_what_is_not_one_message_is_refused_with_the_right_code(body: bytes, code: int) -> None:
    assert refusal(body)[0] == code


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":{"k":1,"k":2}}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1,"\\u0078":2}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1,"x":1}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":[{"":[],"":[]}]}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a", "arguments": {"x": 1, "x": 1}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":"\\u0022:","y":1,"y":2}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1e400,"x":1e400}}}',
    ],
)
def test_a_key_that_stands_twice_is_refused_at_every_depth(body: bytes) -> None:
    assert refusal(body)[0] == -32600


@pytest.mark.parametrize(
    "arguments",
    [
        b'{"x":{"k":1},"y":{"k":1}}',
        b'{ "x" : 1.50, "y" : "\\u0078" }',
        '{"é":"\n","x":-0.0}'.replace("\n", "\\n").encode(),
    ],
)
def test_keys_that_differ_are_taken_however_they_are_written(arguments: bytes) -> None:
    message = parse(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":%b}}' % arguments)
    assert bytes(message.params).endswith(b'"arguments":%b}' % arguments)


def test_a_long_body_is_not_made_into_objects_to_look_for_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of numbers with thousands of digits it would take a third of a second for four megabytes."""
    read: list[bytes] = []
    monkeypatch.setattr(envelope, "_read", read.append)
    long = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[%b1],"%b":1}}'

    parse(long % (b"9" * 4000 + b",", b"b"))
    assert len(read) == 1
    parse(long % ((b"9" * 4000 + b",") * 5, b"b"))
    assert len(read) == 1
    assert refusal(long % ((b"9" * 4000 + b",") * 5, b"a"))[0] == -32600


def test_a_refusal_after_the_id_was_read_names_the_id() -> None:
    assert refusal(b'{"jsonrpc":"2.0","id":"a\\u00e9","method":7}') == (-32600, b'"a\\u00e9"')


def test_ids_and_params_stay_the_bytes_they_were() -> None:
    message = parse(b'{"jsonrpc":"2.0","id": "x\\u0041" ,"method":"m","params": { "b" : 1.0,"a":[ ] } }')
    assert message.raw_id == b'"x\\u0041"'
    assert bytes(message.params) == b'{ "b" : 1.0,"a":[ ] }'
    assert message.is_request


def test_a_notification_and_a_response_are_told_apart() -> None:
    assert not parse(b'{"jsonrpc":"2.0","method":"notifications/initialized"}').is_request
    assert parse(b'{"jsonrpc":"2.0","id":1,"result":{}}').is_response


@pytest.mark.parametrize("number", [b"1e400", b"-0.0", b"9" * 5000])
def test_a_number_beyond_every_range_is_a_number(number: bytes) -> None:
    message = parse(b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":%b}}' % number)
    assert bytes(message.params) == b'{"a":%b}' % number
