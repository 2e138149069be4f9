"""The official suite finds through Callboard what it finds directly, but for what `expected.yaml` lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.conformance import expectations
from tests.conformance.configurations import DIRECT, THROUGH, Configuration
from tests.conformance.gateway import Gateway, running_gateway
from tests.conformance.suite import run_server_suite
from tests.support.upstreams.launch import running

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


def through_callboard() -> Iterator[object]:
    """Configurations with the same number of replicas share a Callboard, so they run on one worker."""
    for one in THROUGH:
        group = pytest.mark.xdist_group(f"conformance-{one.replicas}")
        yield pytest.param(one.replicas, one, id=str(one), marks=group)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A running Callboard with as many of each service as the parameter says."""
    async with running_gateway(tmp_path_factory.mktemp("conformance"), request.param) as running_one:
        yield running_one


@pytest.mark.parametrize("configuration", DIRECT, ids=str)
async def test_the_upstream_itself_has_everything(configuration: Configuration) -> None:
    async with running("everything") as upstream:
        report = await run_server_suite(f"http://localhost:{upstream.port}/mcp", configuration.revision)
    assert {name: outcome.why for name, outcome in report.not_passing.items()} == {}
    scenarios, checks = (30, 70) if configuration.revision == "2025-11-25" else (37, 120)
    assert report.passed(scored_only=True) == (scenarios, scenarios)
    assert report.checks(scored_only=True) == (checks, checks)


@pytest.mark.parametrize(("gateway", "configuration"), through_callboard(), indirect=["gateway"])
async def test_callboard_adds_no_fault_of_its_own(gateway: Gateway, configuration: Configuration) -> None:
    before = gateway.front.requests.copy()
    report = await run_server_suite(gateway.url(configuration), configuration.revision)
    served = gateway.front.requests - before
    assert len(served) == configuration.replicas
    assert min(served.values()) > 10, "every edge has a share"
    verdict = expectations.judge(report, configuration, expectations.load())
    assert verdict.good, str(verdict)


def test_every_expectation_speaks_of_a_scenario_that_is_run() -> None:
    assert expectations.idle(expectations.load(), THROUGH) == []
