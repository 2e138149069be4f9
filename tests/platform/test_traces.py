"""Spans on their way to a real collector: what arrives, what is dropped, and what it costs where there is none."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from callboard.contracts.subjects import ROOMS
from callboard.platform import traces as tracing
from callboard.platform.otlp import OtlpSender, endpoint_of
from callboard.platform.settings import CommonSettings, SettingsRefused, load
from callboard.platform.telemetry import child_traceparent, is_traceparent, new_traceparent
from callboard.platform.traces import NO_PARENT, Span, Traces, is_sampled, open_traces
from tests.support.collector import Collector, collecting
from tests.support.waiting import eventually

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    before = logging.getLogger("opentelemetry").level
    with collecting() as running:
        yield running
    logging.getLogger("opentelemetry").setLevel(before)


def traces_to(collector: Collector, share: float = 1.0) -> Traces:
    return Traces(lambda: OtlpSender(collector.url, "edge", "edge-1"), share)


def span(name: str = "tools/call echo", parent: str = PARENT, fault: str = "") -> Span:
    now = time.time_ns()
    return Span(child_traceparent(parent), parent, name, "server", now - 1000, now, {"callboard.server": "echo"}, fault)


async def test_a_span_arrives_with_its_trace_its_parent_and_its_attributes(collector: Collector) -> None:
    traces = traces_to(collector)
    noted = span(fault="server.unavailable")
    traces.note(noted)
    seen = (await eventually(lambda: collector.spans))[0]
    assert (seen.service, seen.name, seen.kind, seen.failed) == ("callboard-edge", "tools/call echo", "server", True)
    assert (seen.trace, seen.parent, seen.id) == ("a" * 32, "b" * 16, noted.traceparent[36:52])
    assert seen.attributes == {"callboard.server": "echo", "error.type": "server.unavailable"}
    assert (seen.began, seen.ended) == (noted.began, noted.ended)
    await eventually(lambda: traces.exported == 1)
    await traces.close(5)
    assert traces.figures == {"spans_exported": 1.0, "spans_dropped": 0.0}


async def test_the_first_span_of_a_trace_has_no_parent(collector: Collector) -> None:
    traces = traces_to(collector)
    begun = traces.begin()
    assert begun[36:52] == NO_PARENT
    traces.note(span(parent=begun))
    await traces.close(5)
    assert [(seen.parent, seen.failed) for seen in collector.spans] == [("", False)]


async def test_what_waits_at_the_stop_is_sent_before_it_ends(collector: Collector) -> None:
    traces = traces_to(collector)
    for number in range(1500):
        traces.note(span(str(number)))
    await traces.close(10)
    assert [seen.name for seen in collector.spans] == [str(number) for number in range(1500)]
    assert traces.dropped == 0


async def test_spans_that_a_collector_refuses_are_counted_and_those_after_it_came_back_arrive(
    collector: Collector,
) -> None:
    traces = traces_to(collector)
    collector.status = 400
    traces.note(span("refused"))
    await eventually(lambda: traces.dropped == 1)
    collector.status = 200
    traces.note(span("taken"))
    await eventually(lambda: [seen.name for seen in collector.spans] == ["taken"])
    await traces.close(5)
    assert traces.figures == {"spans_exported": 1.0, "spans_dropped": 1.0}


async def test_while_a_collector_hangs_nobody_waits_memory_is_bounded_and_the_stop_keeps_its_time(
    collector: Collector,
) -> None:
    collector.open.clear()
    traces = traces_to(collector)
    count = 3 * tracing.MOST_WAITING
    began = time.monotonic()
    for _ in range(count):
        traces.note(span())
    assert time.monotonic() - began < 3.0
    assert traces.dropped >= tracing.MOST_WAITING
    began = time.monotonic()
    await traces.close(0.3)
    assert time.monotonic() - began < 2.0
    assert traces.exported + traces.dropped == count
    assert traces.exported == 0


async def test_a_collector_that_is_not_there_costs_the_span_and_nothing_else() -> None:
    with collecting() as gone:
        pass
    traces = traces_to(gone)
    traces.note(span())
    began = time.monotonic()
    await traces.close(0.3)
    assert time.monotonic() - began < 2.0
    assert traces.figures == {"spans_exported": 0.0, "spans_dropped": 1.0}


async def test_a_sender_that_fails_in_a_way_nobody_foresaw_ends_neither_the_thread_nor_the_count() -> None:
    class Broken:
        def send(self, spans: object) -> bool:
            raise RuntimeError("broken")

        def give_up(self) -> None:
            raise AssertionError("nothing to give up")

    traces = Traces(Broken, 1.0)
    traces.note(span())
    await eventually(lambda: traces.dropped == 1)
    traces.note(span())
    await eventually(lambda: traces.dropped == 2)
    await traces.close(5)


async def test_the_share_decides_for_requests_without_a_trace_of_their_own() -> None:
    never, always, some = (Traces(lambda: pytest.fail("nothing was noted"), share) for share in (0.0, 1.0, 0.25))
    try:
        assert not any(is_sampled(never.begin()) for _ in range(200))
        assert all(is_sampled(always.begin()) for _ in range(200))
        begun = [some.begin() for _ in range(4000)]
        assert 700 < sum(map(is_sampled, begun)) < 1300
        assert all(is_traceparent(text) for text in begun if not is_sampled(text))
        assert len({text[3:35] for text in begun}) == 4000
    finally:
        await asyncio.gather(*(each.close(5) for each in (never, always, some)))


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (PARENT, True),
        (PARENT.upper(), False),
        (f"00-{'0' * 32}-{'b' * 16}-01", False),
        (f"00-{'a' * 32}-{'0' * 16}-01", False),
        (f"00-{'a' * 31}_-{'b' * 16}-01", False),
        (f"00-+{'a' * 31}-{'b' * 16}-01", False),
        (f"ff-{'a' * 32}-{'b' * 16}-01", False),
        (PARENT + "\n", False),
        ("", False),
    ],
)
def test_a_traceparent_is_read_by_the_letter(text: str, valid: bool) -> None:
    assert is_traceparent(text) is valid


def test_a_new_traceparent_is_one_and_is_not_sampled() -> None:
    made = new_traceparent()
    assert is_traceparent(made)
    assert not is_sampled(made)
    assert made != new_traceparent()


def test_the_flag_is_the_lowest_bit_and_a_child_keeps_trace_and_flag() -> None:
    assert is_sampled(PARENT)
    assert is_sampled(PARENT[:-1] + "3")
    assert not is_sampled(PARENT[:-1] + "2")
    assert not is_sampled("")
    child = child_traceparent(PARENT)
    assert is_traceparent(child)
    assert (child[:36], child[52:]) == (PARENT[:36], PARENT[52:])
    assert child != PARENT


@pytest.mark.parametrize("url", ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"])
def test_the_path_of_traces_is_added_where_it_is_missing(url: str) -> None:
    assert endpoint_of(url) == "http://c:4318/v1/traces"


def test_a_bad_setting_is_refused_by_name() -> None:
    for name, value in (("OTLP_ENDPOINT", "127.0.0.1:4318"), ("TRACE_SHARE", "2")):
        with pytest.raises(SettingsRefused, match=f"CALLBOARD_{name}"):
            load(CommonSettings, "edge", {f"CALLBOARD_{name}": value})


def test_without_a_collector_there_are_no_traces_and_nothing_of_opentelemetry_is_imported() -> None:
    assert open_traces("edge", "edge-1", CommonSettings()) is None
    rooms = ", ".join(f"callboard_{room}.app" for room in ROOMS)
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "google.protobuf", "requests")
    look = f"import sys, {rooms}; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
    look = f"import sys, callboard.platform.otlp; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert "opentelemetry.sdk" in told.stdout
    assert "google.protobuf" in told.stdout
