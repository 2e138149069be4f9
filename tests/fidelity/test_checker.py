"""The checker itself: a relay that changes one thing on the way must be caught, whatever that thing is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.fidelity import properties, rewrites
from tests.fidelity.checks import Unfaithful, check_answer, compare_definition, compare_params
from tests.fidelity.clients import Answer
from tests.fidelity.rig import Rig
from tests.fidelity.strategies import Example, Request, answer
from tests.support.upstreams.scripted import TOKEN, Script

pytestmark = [pytest.mark.xdist_group("fidelity"), pytest.mark.timeout(120)]

RESULT = (
    '{"content":[{"type":"text","text":"\\u00e9\\/ \\ud83d\\ude00"}],"structuredContent":{"b":1.0,"a":1e2,"n":null},'
    '"com.example/unknown":{"x":12345678901234567890},"resultType":"complete"}'
)
NOTES = [
    f'{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{TOKEN},"progress":1,"y":2.50}}}}',
    '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"one"}}',
    f'{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{TOKEN},"progress":2}}}}',
]
RICH = Example("tools/call", Script([*NOTES, answer("result", RESULT, "")], sse=True), '"tok"')
FAILED = Example(
    "tools/call",
    Script([answer("error", '{"code":-32042,"message":"no","data":{"k":1.0},"more":[]}', "")], code=-32042),
    "1",
)


def in_body(old: bytes, new: bytes) -> Callable[[Answer], Answer]:
    def change(got: Answer) -> Answer:
        assert old in got.body, f"the relay has nothing to change: {got.body!r}"
        return replace(got, body=got.body.replace(old, new, 1))

    return change


def reencoded(got: Answer) -> Answer:
    return replace(got, body=json.dumps(json.loads(got.body), ensure_ascii=False, separators=(",", ":")).encode())


def sorted_keys(got: Answer) -> Answer:
    text = got.body.replace(b'"b":1.0,"a":1e2', b'"a":1e2,"b":1.0')
    assert text != got.body
    return replace(got, body=text)


def notes(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Answer], Answer]:
    return lambda got: replace(got, notifications=change(got.notifications))


RELAYS: dict[str, Callable[[Answer], Answer]] = {
    "drops an unknown field": in_body(b'"com.example/unknown":{"x":12345678901234567890},', b""),
    "drops a null": in_body(b',"n":null', b""),
    "reorders keys": sorted_keys,
    "writes a float anew": in_body(b"1e2", b"100.0"),
    "makes a float an integer": in_body(b"1.0", b"1"),
    "rounds a large integer": in_body(b"12345678901234567890", b"12345678901234567000"),
    "undoes an escape": in_body(b"\\u00e9", "é".encode()),
    "undoes an escaped slash": in_body(b"\\/", b"/"),
    "joins a surrogate pair": in_body(b"\\ud83d\\ude00", "\U0001f600".encode()),
    "decodes and encodes": reencoded,
    "adds white space": in_body(b',"a"', b', "a"'),
    "adds a field": in_body(b'{"content"', b'{"_meta":{},"content"'),
    "swaps two notifications": notes(lambda said: [said[1], said[0], *said[2:]]),
    "drops a notification": notes(lambda said: said[:-1]),
    "says a notification twice": notes(lambda said: [said[0], *said]),
    "keeps its own progress token": notes(lambda said: [said[0].replace(b'"tok"', b"7"), *said[1:]]),
    "writes a float of a notification anew": notes(lambda said: [said[0].replace(b"2.50", b"2.5"), *said[1:]]),
    "answers under another id": lambda got: replace(got, envelope={**got.envelope, "id": "99"}),
    "answers with another status": lambda got: replace(got, status=202),
    "makes a result an error": lambda got: replace(got, outcome="error"),
}


@pytest.mark.parametrize("kind", RELAYS)
def test_a_relay_that_changes_an_answer_is_caught(rig: Rig, kind: str) -> None:
    for leg in rig.legs:
        rig.runner.run(check_answer(leg, RICH))
        with pytest.raises(Unfaithful):
            rig.runner.run(check_answer(leg, RICH, RELAYS[kind]))


@pytest.mark.parametrize(
    "change",
    [in_body(b"-32042", b"-32603"), in_body(b'"no"', b'"No"'), in_body(b"1.0", b"1"), in_body(b',"more":[]', b"")],
    ids=["code", "message", "data", "unknown field"],
)
def test_a_relay_that_changes_an_error_is_caught(rig: Rig, change: Callable[[Answer], Answer]) -> None:
    for leg in rig.legs:
        rig.runner.run(check_answer(leg, FAILED))
        with pytest.raises(Unfaithful):
            rig.runner.run(check_answer(leg, FAILED, change))


def test_generated_answers_catch_a_relay_that_decodes_and_encodes_and_show_the_smallest(rig: Rig, number: int) -> None:
    def relay(got: Answer) -> Answer:
        return reencoded(got) if got.outcome == "result" else got

    with pytest.raises(Unfaithful) as caught:
        properties.answers(rig, 200, number, change=relay)
    assert "they part at byte" in str(caught.value)
    assert any(f"CALLBOARD_FIDELITY_SEED={number}" in note for note in caught.value.__notes__)
    assert len(str(caught.value)) < 1000


TOOL = '{"name":"t","inputSchema":{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":{"maximum":1.0}}},"x-y":1}'  # noqa: E501


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"$ref":"#/$defs/x"}', '{"maximum":1.0}'),
        (',"$defs":{"x":{"maximum":1.0}}', ""),
        ("1.0", "1"),
        (',"x-y":1', ""),
        ('"type":"object","properties"', '"properties"'),
        ('"name":"s__t"', '"name":"t"'),
        ("{", '{"title":"t",'),
    ],
    ids=["inlines $defs", "drops $defs", "float", "unknown field", "keyword", "name", "added field"],
)
def test_a_relay_that_changes_a_definition_is_caught(old: str, new: str) -> None:
    served = TOOL.replace('"name":"t"', '"name":"s__t"')
    compare_definition(TOOL, served, "s__", "tools")
    changed = served.replace(old, new, 1)
    assert changed != served
    with pytest.raises(Unfaithful):
        compare_definition(TOOL, changed, "s__", "tools")


def test_a_list_in_another_order_or_with_a_gap_is_caught() -> None:
    both = ['{"uri":"a:1","name":"a"}', '{"uri":"a:2","name":"a"}']
    properties.compare_lists(both, both, "s__", "resources")
    for got in (both[::-1], both[:1]):
        with pytest.raises(Unfaithful):
            properties.compare_lists(both, got, "s__", "resources")


SENT = '{"name":"http-2025__say","arguments":{"b":1.0,"a":"\\u00e9"},"x":null,"_meta":{"com.example/a":1,"progressToken":5}}'  # noqa: E501
GOT = '{"name":"say","arguments":{"b":1.0,"a":"\\u00e9"},"x":null,"_meta":{"com.example/a":1,"progressToken":9,"traceparent":"00-a"}}'  # noqa: E501


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1.0", "1"),
        ("\\u00e9", "é"),
        (',"x":null', ""),
        ('"com.example/a":1,', ""),
        ('"say"', '"http-2025__say"'),
        ('"traceparent"', '"surprise"'),
        ('"b":1.0,"a":"\\u00e9"', '"a":"\\u00e9","b":1.0'),
    ],
)
def test_a_relay_that_changes_a_request_is_caught(rig: Rig, old: str, new: str) -> None:
    leg, request = rig.legs[0], Request("tools/call", (), (), "", "5")
    compare_params(leg, request, SENT.encode(), GOT.encode())
    changed = GOT.replace(old, new, 1)
    assert changed != GOT
    with pytest.raises(Unfaithful):
        compare_params(leg, request, SENT.encode(), changed.encode())


def test_the_written_rewrites_are_the_ones_of_the_specification() -> None:
    assert rewrites.result(b"{}", "2026", "tools/call") == b'{"resultType":"complete"}'
    assert rewrites.result(b'{"x":1}', "2025", "tools/call") == b'{"x":1}'
    read = rewrites.result(b'{ "ttlMs" :5}', "2026", "resources/read")
    assert read == b'{"resultType":"complete","cacheScope":"private", "ttlMs" :5}'
    assert rewrites.wire_name("server__", "x" * 57).endswith("_" + rewrites.wire_name("server__", "x" * 57)[-8:])
    assert len(rewrites.wire_name("server__", "x" * 57)) == 64
