"""The official suite finds no fault with the connector as a client, but for what `expected.yaml` lists."""

from __future__ import annotations

from functools import partial

import pytest

from tests.conformance import expectations
from tests.conformance.clients import run_client_suite
from tests.conformance.configurations import CLIENTS, ClientSet

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("conformance-clients")]
WITHOUT_AUTHORIZATION = {"2025-11-25": (5, 20), "2026-07-28": (8, 64)}


@pytest.mark.parametrize("clients", CLIENTS, ids=str)
async def test_the_connector_is_a_client_without_a_fault(clients: ClientSet) -> None:
    run = partial(run_client_suite, clients.revision)
    report, verdict = await expectations.judged(run, clients, expectations.load("client"))
    assert verdict.good, str(verdict)
    others = {outcome.scenario: outcome for outcome in report.outcomes if not outcome.scenario.startswith("auth/")}
    assert (len(others), sum(outcome.needed for outcome in others.values())) == WITHOUT_AUTHORIZATION[clients.revision]


BROKEN = {
    "2025-11-25": {"elicitation-sep1034-client-defaults", "sse-retry"},
    "2026-07-28": {
        "auth/iss-wrong-issuer",
        "auth/metadata-issuer-mismatch",
        "auth/resource-mismatch",
        "auth/scope-step-up",
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
