"""Answers at the edge of what is possible: large, deep, wide, and beyond that a clear refusal, at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.fidelity.checks import check_answer, check_request, params_of
from tests.fidelity.clients import Answer
from tests.fidelity.exact import text_of
from tests.fidelity.rig import Leg, Rig, meta
from tests.fidelity.strategies import Example, Request, answer
from tests.support.upstreams.scripted import PAD, TOKEN, Script

pytestmark = [pytest.mark.xdist_group("fidelity"), pytest.mark.timeout(300)]
TEN_MEGABYTES = 10_000_000
OVER_ONE_MESSAGE = 34_000_000
"""More bytes than one message on the bus may have."""


def saying(*frames: str, pad: int = 0, code: int = 0, sse: bool = False) -> Example:
    return Example("tools/call", Script(list(frames), sse=sse, pad=pad, code=code), '"t"')


def result(text: str) -> str:
    return answer("result", f'{{"content":[],"structuredContent":{text}}}', "")


def each(rig: Rig, example: Example, legs: Iterable[Leg] | None = None) -> None:
    for leg in legs or rig.legs:
        rig.runner.run(check_answer(leg, example))


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_a_result_of_10_megabytes_is_the_same(rig: Rig) -> None:
    each(rig, saying(result(f'{{"é": 1.0,"text":"{PAD}"}}'), pad=TEN_MEGABYTES))
    progress = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}'
    each(rig, saying(progress.replace("%s", TOKEN), result(f'["{PAD}"]'), pad=TEN_MEGABYTES))


@pytest.mark.parametrize("what", ["result", "error", "notification"])
def test_what_does_not_fit_into_one_message_of_the_bus_is_the_same(rig: Rig, what: str) -> None:
    frames = {
        "result": [result(f'"{PAD}"')],
        "error": [answer("error", f'{{"code":-32000,"message":"too much","data":"{PAD}"}}', "")],
        "notification": [
            f'{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":"{PAD}"}}}}',
            result("1"),
        ],
    }
    leg = next(leg for leg in rig.legs if leg.name == "http-2026")
    example = saying(*frames[what], pad=OVER_ONE_MESSAGE, code=-32000 if what == "error" else 0)
    each(rig, example, [leg])


def test_thousands_of_notifications_are_all_heard_in_order(rig: Rig) -> None:
    note = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d}}'
    example = saying(*(note % (TOKEN, number) for number in range(2000)), result("1"), sse=True)
    for leg in rig.legs[1:3]:  # a child of the one era, a URL of the other
        rig.runner.run(check_answer(replace(leg, routes=leg.routes[:1]), example))


@pytest.mark.parametrize("params", ['{"_meta":""}', '{"_meta":[1],"a":2}', '{"_meta":null}'])
def test_a_notification_whose_meta_is_no_object_is_heard(rig: Rig, params: str) -> None:
    note = f'{{"jsonrpc":"2.0","method":"notifications/com.example/news","params":{params}}}'
    each(rig, saying(note, result("1"), sse=True))


def test_a_wide_object_is_the_same(rig: Rig) -> None:
    wide = "{" + ",".join(f'"key {n}":{n}.0' for n in range(50_000)) + "}"
    each(rig, saying(result(wide)))


def test_500_levels_are_the_same_in_both_directions(rig: Rig) -> None:
    each(rig, saying(result(nested(500))))
    for leg in rig.legs:
        pairs = (("arguments", f'{{"x":{nested(500)}}}'),)
        rig.runner.run(check_request(leg, Request("tools/call", pairs, (), "", "")))


def refusal(rig: Rig, leg: Leg, frame: str, route: int = 1) -> dict[str, object]:
    """The error that a client gets in place of this answer, which must come long before any deadline."""
    client = leg.routes[route].client
    began = time.monotonic()
    example = saying(frame)
    got: Answer = rig.runner.run(client.ask("tools/call", params_of(example, client, leg.prefix)))
    assert time.monotonic() - began < 10
    assert got.outcome == "error", got.body[:200]
    said = text_of(got.body)
    assert leg.name in said["message"]
    assert said["data"]["code"] == "server.invalid_answer"
    return said  # type: ignore[no-any-return]  # an error object


@pytest.mark.parametrize("route", [0, 1, 3])
def test_an_answer_of_2000_levels_is_refused_by_name_and_at_once(rig: Rig, route: int) -> None:
    for leg in rig.legs:
        if route < len(leg.routes):
            assert "nested too deeply" in str(refusal(rig, leg, result(nested(2000)), route)["message"])
            each(rig, saying(result("1")), [leg])


def test_half_a_surrogate_pair_is_refused_by_name_and_at_once(rig: Rig) -> None:
    for leg in rig.legs:
        assert "not JSON-RPC" in str(refusal(rig, leg, result('"\\ud83d"'))["message"])
        each(rig, saying(result('"\\ud83d\\ude00"')), [leg])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ('{"x":' + nested(2000) + "}", -32700, "nested too deeply"),
        ('{"x":"\\ud83d"}', -32700, "not valid JSON"),
        ('{"x":1,"x":2}', -32600, "stands twice"),
    ],
    ids=["deep", "surrogate", "twice"],
)
def test_arguments_that_cannot_be_passed_on_are_refused(rig: Rig, arguments: str, code: int, words: str) -> None:
    leg = rig.legs[0]
    for route in leg.routes:
        own = ",".join(f"{json.dumps(key)}:{value}" for key, value in meta(route.client))
        params = f'{{"name":"{leg.prefix}say","arguments":{arguments},"_meta":{{{own}}}}}'
        got = rig.runner.run(route.client.ask("tools/call", params))
        said = text_of(got.body)
        assert (got.outcome, said["code"], got.status) == ("error", code, 400)
        assert words in said["message"]
