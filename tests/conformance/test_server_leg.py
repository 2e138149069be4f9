"""The official suite finds through Callboard what it finds directly, but for what `expected.yaml` lists."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conformance import expectations
from tests.conformance.configurations import DIRECT, THROUGH, Configuration
from tests.conformance.expectations import Verdict
from tests.conformance.gateway import Gateway, running_gateway
from tests.conformance.suite import run_server_suite
from tests.support.upstreams.launch import running

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

# Scenarios and their checks; whether only those that the suite scores are counted.
_COUNTS = {"2025-11-25": (30, 70, True), "2026-07-28": (37, 120, True), "tasks": (9, 44, False)}


def through(replicas: int) -> pytest.MarkDecorator:
    chosen = [one for one in THROUGH if one.replicas == replicas]
    return pytest.mark.parametrize("configuration", chosen, ids=str)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one_of_each(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path_factory.mktemp("conformance"), 1) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def two_of_each(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path_factory.mktemp("conformance"), 2) as gateway:
        yield gateway


async def judged(gateway: Gateway, configuration: Configuration) -> Verdict:
    """The suite has time limits of its own, which a busy machine breaks: a fault counts when it is there twice."""
    for _ in range(2):
        report = await run_server_suite(gateway.url(configuration), configuration.revision)
        verdict = expectations.judge(report, configuration, expectations.load())
        if verdict.good:
            break
    return verdict


@pytest.mark.parametrize("configuration", DIRECT, ids=str)
async def test_the_upstream_itself_has_everything(configuration: Configuration) -> None:
    async with running(*configuration.fixture) as upstream:
        report = await run_server_suite(f"http://localhost:{upstream.port}/mcp", configuration.revision)
    assert {name: outcome.why for name, outcome in report.not_passing.items()} == {}
    scenarios, checks, scored = _COUNTS[configuration.revision]
    assert report.passed(scored) == (scenarios, scenarios)
    assert report.checks(scored) == (checks, checks)


@pytest.mark.xdist_group("conformance-1")
@through(1)
async def test_callboard_adds_no_fault_of_its_own(one_of_each: Gateway, configuration: Configuration) -> None:
    verdict = await judged(one_of_each, configuration)
    assert verdict.good, str(verdict)


@pytest.mark.xdist_group("conformance-2")
@through(2)
async def test_nor_do_two_of_each_service(two_of_each: Gateway, configuration: Configuration) -> None:
    before = two_of_each.front.requests.copy()
    verdict = await judged(two_of_each, configuration)
    assert verdict.good, str(verdict)
    served = two_of_each.front.requests - before
    assert len(served) == 2
    assert min(served.values()) > 10, "every edge has a share"
