"""Traces: an operator names a collector, and sees what a call, a publish and a rollback did in every service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.agents import one_server, published
from tests.support.collector import Collector, Seen, collecting
from tests.support.stack import META, Stack, running_stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.xdist_group("journeys-traces")]
SECRET = "hunter2-of-the-argument"
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


def sampled(flag: str = "01") -> tuple[str, str]:
    """(trace id, traceparent) of a client."""
    trace, span = os.urandom(16).hex(), os.urandom(8).hex()
    return trace, f"00-{trace}-{span}-{flag}"


async def called(stack: Stack, place: str, token: str, meta: dict[str, Any], **headers: str) -> dict[str, Any]:
    params = {"name": "whoami", "arguments": {"region": SECRET}, "_meta": {**META, **meta}}
    sent = {"Mcp-Param-Region": SECRET, **headers}
    answer = await stack.rpc(place, "tools/call", params, token, headers=sent)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return result


async def whole(collector: Collector, trace: str, *names: str) -> list[Seen]:
    """The spans of a trace, once all of these are there."""

    def found() -> list[Seen]:
        spans = collector.of(trace)
        return spans if {span.name for span in spans} >= set(names) else []

    return await eventually(found)


async def test_a_collector_sees_one_trace_through_all_services_and_nothing_that_was_not_sampled(
    tmp_path: Path,
) -> None:
    with collecting() as collector:
        arguments = ("--no-demo", "--otlp", collector.url)
        settings = {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=of-the-collector"}
        async with (
            running("tests.connectors.mirror") as upstream,
            running_stack(tmp_path / "data", arguments=arguments, settings=settings) as stack,
        ):
            organisation, token = await published(stack, one_server({"url": upstream.url}))
            place = stack.endpoint(organisation, "p")
            await _a_call_that_the_client_traces(collector, stack, organisation, place, token)
            await _a_call_that_the_client_does_not_trace(collector, stack, place, token)
            await _a_call_of_the_handshake_era(collector, place, token)
            await _a_call_without_a_trace(collector, stack, place, token)
            await stack.apply(one_server({"url": upstream.url}, names="double_underscore").replace("ORG", organisation))
            await _a_change_and_its_way_into_the_read_models(collector, stack, organisation)
            await _what_is_told_of_it(collector, stack, token)
            # What was not sent yet is sent at the stop.
            trace, parent = sampled()
            await called(stack, place, token, {"traceparent": parent})
            await stack.stop()
            assert [span.service for span in collector.of(trace)] == SERVICES
        assert {headers["x-key"] for headers in collector.headers} == {"of-the-collector"}
        everything = b"".join(collector.bodies)
        assert b"whoami" in everything
        for hidden in (SECRET, token, stack.admin_token, "agent"):
            assert hidden.encode() not in everything


SERVICES = ["callboard-edge", "callboard-router", "callboard-connectors"]
NAMES = ["tools/call whoami", "route tools/call", "tools/call whoami"]


async def _a_call_that_the_client_traces(
    collector: Collector, stack: Stack, organisation: str, place: str, token: str
) -> None:
    trace, parent = sampled()
    seen = await called(stack, place, token, {"traceparent": parent, "tracestate": "vendor=1"})
    edge, router, connector = await eventually(lambda: len(found := collector.of(trace)) == 3 and found)
    assert [span.service for span in (edge, router, connector)] == SERVICES
    assert [span.name for span in (edge, router, connector)] == NAMES
    assert [span.kind for span in (edge, router, connector)] == ["server", "internal", "client"]
    assert [edge.parent, router.parent, connector.parent] == [parent[36:52], edge.id, router.id]
    assert seen["meta"]["traceparent"] == f"00-{trace}-{connector.id}-01"
    assert seen["meta"]["tracestate"] == "vendor=1"
    assert edge.began <= router.began <= connector.began
    assert max(router.ended, connector.ended) <= edge.ended + 50_000_000  # the clocks of three processes
    assert not any(span.failed for span in (edge, router, connector))
    common = {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool"}
    about = {"callboard.organisation": organisation, "callboard.playbook": "p"}
    for span in (edge, router, connector):
        assert span.attributes.items() >= {**common, **about, "mcp.protocol.version": "2026-07-28"}.items()
        assert span.attributes["gen_ai.tool.name"] == "whoami"
    assert router.attributes.items() >= {"callboard.playbook.version": 1, "callboard.outcome": "forwarded"}.items()
    told = {"callboard.server": "up", "callboard.outcome": "ok", "server.address": "127.0.0.1"}
    assert connector.attributes.items() >= told.items()
    assert router.attributes["callboard.tool.digest"] == connector.attributes["callboard.tool.digest"]


async def _a_call_that_the_client_does_not_trace(collector: Collector, stack: Stack, place: str, token: str) -> None:
    quiet, unsampled = sampled("00")
    seen = await called(stack, place, token, {}, traceparent=unsampled)
    assert seen["meta"]["traceparent"] == unsampled, "what is not sampled goes through as it came"
    trace, parent = sampled()
    seen = await called(stack, place, token, {}, traceparent=parent)
    assert seen["meta"]["traceparent"].startswith(f"00-{trace}-")
    await eventually(lambda: len(collector.of(trace)) == 3)
    own, in_meta = sampled()
    await called(stack, place, token, {"traceparent": in_meta}, traceparent=parent)
    await eventually(lambda: len(collector.of(own)) == 3)
    assert len(collector.of(trace)) == 3, "what the message says comes before its HTTP header"
    assert collector.of(quiet) == []


async def _a_call_of_the_handshake_era(collector: Collector, place: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http:
        begun = await http.post(place, json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO})
        trace, parent = sampled()
        more = {"Mcp-Session-Id": begun.headers["mcp-session-id"], "traceparent": parent}
        body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "nothing"}}
        assert "error" in (await http.post(place, json=body, headers=more)).json()
    edge, router = await eventually(lambda: len(found := collector.of(trace)) == 2 and found)
    assert [edge.parent, router.parent] == [parent[36:52], edge.id]
    assert edge.attributes["mcp.protocol.version"] == "2025-11-25"
    assert edge.failed
    assert router.failed
    assert edge.attributes["error.type"] == router.attributes["error.type"] == "tool.unknown"


async def _a_call_without_a_trace(collector: Collector, stack: Stack, place: str, token: str) -> None:
    """It begins one, as every call does where no share is set."""
    seen = await called(stack, place, token, {})
    trace = seen["meta"]["traceparent"][3:35]
    spans = await eventually(lambda: len(found := collector.of(trace)) == 3 and found)
    assert [span.parent for span in spans] == ["", spans[0].id, spans[1].id]


async def _a_change_and_its_way_into_the_read_models(collector: Collector, stack: Stack, organisation: str) -> None:
    trace, parent = sampled()
    headers = {"Authorization": f"Bearer {stack.admin_token}", "traceparent": parent}
    path = f"/api/v1/organisations/{organisation}/playbooks/p/rollback"
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http:
        answer = await http.post(stack.url + path, json={"to": 1, "comment": "a test"})
    assert answer.status_code < 300, answer.text
    spans = await whole(collector, trace, "cmd.playbook.roll_back", "fold playbooks")
    request = next(span for span in spans if span.parent == parent[36:52])
    assert request.name.startswith("POST /api/v1/organisations/{organisation")
    assert organisation not in request.name
    command = next(span for span in spans if span.name == "cmd.playbook.roll_back")
    assert (command.service, command.kind, command.parent) == ("callboard-router", "server", request.id)
    assert command.attributes["callboard.playbook"] == "p"
    fold = next(span for span in spans if span.name == "fold playbooks")
    assert (fold.service, fold.parent) == ("callboard-projections", command.id)
    assert fold.attributes["callboard.seq"] > 0


async def _what_is_told_of_it(collector: Collector, stack: Stack, token: str) -> None:
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        text = (await http.get(f"{stack.url}/metrics")).text
    assert 'callboard_spans_total{outcome="dropped"} 0.0' in text
    exported = next(line for line in text.splitlines() if line.startswith('callboard_spans_total{outcome="exported"}'))
    assert float(exported.rpartition(" ")[2]) >= 5
    told = await stack.cli_json("status")
    figures = {each["room"]: each["figures"] for each in told["instances"]}
    assert all(figures[room]["spans_dropped"] == 0 for room in ("edge", "router", "connectors", "projections"))
