"""The official suite finds no fault with the connector as a client, but for what `expected.yaml` lists."""

from __future__ import annotations

import pytest

from tests.conformance import expectations
from tests.conformance.clients import run_client_suite
from tests.conformance.configurations import CLIENTS, ClientSet

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("conformance-clients")]
WITHOUT_AUTHORIZATION = {"2025-11-25": (5, 20), "2026-07-28": (8, 64)}


@pytest.mark.parametrize("clients", CLIENTS, ids=str)
async def test_the_connector_is_a_client_without_a_fault(clients: ClientSet) -> None:
    # The suite has time limits of its own, which a busy machine breaks: a fault counts when it is there twice.
    report = await run_client_suite(clients.revision)
    verdict = expectations.judge(report, clients, expectations.load("client"))
    if not verdict.good:
        again = await run_client_suite(clients.revision, only={*verdict.unexpected, *verdict.stale})
        verdict = expectations.judge(again, clients, expectations.load("client"))
    assert verdict.good, str(verdict)
    others = {outcome.scenario: outcome for outcome in report.outcomes if not outcome.scenario.startswith("auth/")}
    assert (len(others), sum(outcome.needed for outcome in others.values())) == WITHOUT_AUTHORIZATION[clients.revision]


BROKEN = {
    "2025-11-25": {"elicitation-sep1034-client-defaults", "sse-retry"},
    "2026-07-28": {
        "http-custom-headers",
        "http-invalid-tool-headers",
        "http-standard-headers",
        "request-metadata",
        "sep-2322-client-request-state",
    },
}


@pytest.mark.parametrize("clients", CLIENTS, ids=str)
async def test_a_connector_that_makes_mistakes_is_caught_at_each_of_them(clients: ClientSet) -> None:
    wrong = BROKEN[clients.revision]
    report = await run_client_suite(clients.revision, only={*wrong, "tools_call"}, shim="tests.conformance.broken_shim")
    verdict = expectations.judge(report, clients, expectations.load("client"))
    assert set(verdict.unexpected) == wrong


async def test_a_client_that_does_nothing_passes_nothing() -> None:
    report = await run_client_suite("2026-07-28", only={"tools_call", "json-schema-ref-no-deref"}, shim="this")
    assert report.passed()[0] == 0


def test_every_expectation_speaks_of_a_scenario_that_is_run() -> None:
    assert expectations.idle(expectations.load("client"), CLIENTS) == []
