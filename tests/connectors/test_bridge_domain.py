from __future__ import annotations

import json

import msgspec
import pytest

from callboard.contracts.calls import LEGACY, MODERN, CallHead, holder_of, question_token, worker_of
from callboard.contracts.problems import Problem
from callboard_connectors.bridge.domain import input_required, question, speaks_for_itself, with_answers
from callboard_connectors.bridge.held import digest_of_request
from callboard_connectors.bridge.seal import Held, Seal
from callboard_connectors.calls.domain import capability_error

HELD = Held("conversation", "principal", "digest", 1000.0, 1)


def head(era: str = MODERN, name: str = "ask") -> CallHead:
    return CallHead("id", "tools/call", "o", "p", 1, "s", name, name, "d", "r", era, "c", "k", 1, 1, 1)


def refusal(state: str, principal: str = "principal", digest: str = "digest", now: float = 1.0) -> str:
    with pytest.raises(Problem) as refused:
        SEAL.open(state, principal, digest, now)
    return refused.value.code


SEAL = Seal("worker")


def test_a_sealed_state_opens_for_its_principal_and_request_until_it_expires() -> None:
    state = SEAL.seal(HELD)
    assert holder_of(state) == "worker"
    assert SEAL.open(state, "principal", "digest", 999.0) == HELD
    assert refusal(state, principal="other") == "call.state_invalid"
    assert refusal(state, digest="other") == "call.state_invalid"
    assert refusal(state, now=1001.0) == "call.state_invalid"


def test_an_altered_state_or_one_of_another_worker_is_refused() -> None:
    state = SEAL.seal(HELD)
    for position in range(len("cb1.worker."), len(state), 7):
        other = "A" if state[position] != "A" else "B"
        assert refusal(state[:position] + other + state[position + 1 :]) == "call.state_invalid"
    assert refusal(Seal("worker").seal(HELD)) == "call.state_invalid"
    for junk in ("cb1.worker.", "cb1.worker.!!!", "cb1.", "cb1.worker.AAAA", state[:-10]):
        assert refusal(junk) == "call.state_invalid"


def test_the_same_call_has_another_state_in_each_round() -> None:
    assert SEAL.seal(HELD) != SEAL.seal(HELD)


def test_a_retry_is_the_same_request_however_its_arguments_are_written() -> None:
    first = digest_of_request(head(), b'{"arguments":{"a":1,"b":[1.0]},"requestState":"x"}')
    assert first == digest_of_request(head(), b'{ "arguments" : { "b":[1.0] , "a":1 } }')
    assert first != digest_of_request(head(), b'{"arguments":{"a":2,"b":[1.0]}}')
    assert first != digest_of_request(head(name="other"), b'{"arguments":{"a":1,"b":[1.0]}}')


def test_an_upstreams_own_state_is_nobody_of_ours() -> None:
    assert holder_of("anything") is None
    assert worker_of(question_token("w1", "n")) == "w1"
    assert worker_of("7") is None
    assert worker_of("cb..n") is None


def test_questions_are_found_only_in_a_result_that_asks() -> None:
    asked = input_required(b'{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}}}')
    assert asked is not None
    assert asked.input_requests["a"].method == "roots/list"
    assert input_required(b'{"content":[{"type":"text","text":"input_required"}]}') is None
    assert input_required(b'{"resultType":"complete","x":"input_required"}') is None


def test_a_question_keeps_the_bytes_of_its_params() -> None:
    result = b'{"resultType":"input_required","inputRequests":{"a":{"method":"m","params":{ "x" : 1.0 }}}}'
    asked = input_required(result)
    assert asked is not None
    assert b'"params":{ "x" : 1.0 }' in question("cb.w.n", asked.input_requests["a"])


def test_a_retry_carries_answers_and_state_and_else_what_it_carried() -> None:
    again = with_answers(b'{"name":"t","arguments":{ "x":1.0 }}', {"a": msgspec.Raw(b'{"b":2}')}, msgspec.Raw(b'"s"'))
    assert b'"arguments":{ "x":1.0 }' in again
    assert json.loads(again)["inputResponses"] == {"a": {"b": 2}}
    assert json.loads(again)["requestState"] == "s"
    stateless = with_answers(b'{"requestState":"old"}', {}, msgspec.Raw())
    assert "requestState" not in json.loads(stateless)


def test_only_a_client_that_declared_something_speaks_for_itself() -> None:
    assert speaks_for_itself(b'{"elicitation":{}}')
    assert not speaks_for_itself(b'{"experimental":{}}')
    assert not speaks_for_itself(b"{}")
    assert not speaks_for_itself(b"nonsense")


def test_a_missing_capability_is_told_in_the_words_of_the_clients_era() -> None:
    error = b'{"code":-32600,"message":"m","data":{"requiredCapabilities":{"sampling":{}}}}'
    assert json.loads(capability_error(head(MODERN), error))["code"] == -32021
    assert capability_error(head(LEGACY), error) == error
    other = b'{"code":-32000,"message":"requiredCapabilities"}'
    assert capability_error(head(MODERN), other) == other
