"""Which request an answer belongs to that cannot be decoded as a whole, and what is said of it."""

from __future__ import annotations

import pytest

from callboard_connectors.transports.envelope import TooDeep, answered_id, decode, error_code, fault_of


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":{"a":"\\ud83d"}}', 7),
        (b' { "jsonrpc" : "2.0" , "id" : "12" , "error" : {', 12),
        (b'{"id":3,"result":[', 3),
        (b'{"jsonrpc":"2.0","id":3,"method":"sampling/createMessage","params":[', None),
        (b'{"log":{"id":3,"result":1}', None),
        (b'{"jsonrpc":"2.0","result":{"id":3,"result":{}}', None),
        (b"starting, id 3", None),
    ],
)
def test_an_answer_is_known_by_its_beginning_or_not_at_all(line: bytes, number: int | None) -> None:
    assert answered_id(line) == number


def test_depth_is_told_apart_from_garbage() -> None:
    with pytest.raises(TooDeep) as deep:
        decode(b'{"jsonrpc":"2.0","id":1,"result":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}")
    assert "nested too deeply" in fault_of(deep.value)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (b'{"code":-32042,"message":5}', -32042),
        (b'{"code":-1.5}', -32603),
        (b"{}", -32603),
        (b'"x"', -32603),
        (b'{"code":100000000000000000000}', 10**20),
    ],
)
def test_a_record_needs_a_whole_number_for_a_code_and_nothing_else_of_an_error(error: bytes, code: int) -> None:
    assert error_code(error) == code
