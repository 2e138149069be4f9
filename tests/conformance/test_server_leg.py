"""The official suite finds through Callboard what it finds directly, but for what `expected.yaml` lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

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
    run = partial(run_server_suite, gateway.url(configuration), configuration.revision)
    return (await expectations.judged(run, configuration, expectations.load()))[1]


@pytest.mark.parametrize("configuration", DIRECT, ids=str)
async def test_the_upstream_itself_has_everything(configuration: Configuration) -> None:
    async with running(*configuration.fixture) as upstream:
        run = partial(run_server_suite, f"http://localhost:{upstream.port}/mcp", configuration.revision)
        report, verdict = await expectations.judged(run, configuration, [])
    assert verdict.good, str(verdict)
    scenarios, checks, scored = _COUNTS[configuration.revision]
    assert report.passed(scored) == (scenarios, scenarios)
    assert report.checks(scored) == (checks, checks)


NAMED = {
    *("tools-call-simple-text", "tools-call-image", "tools-call-audio", "tools-call-embedded-resource"),
    *("tools-call-mixed-content", "tools-call-error", "tools-call-with-progress"),
    *("http-header-validation", "http-custom-header-server-validation"),
}


async def test_the_sloppy_upstream_fails_wherever_the_official_example_server_does() -> None:
    async with running("everything", "--sloppy") as upstream:
        report = await run_server_suite(f"http://localhost:{upstream.port}/mcp", "2026-07-28")
    assert set(report.not_passing) >= NAMED
    assert report.passed(scored_only=True)[0] < 10


@pytest.mark.xdist_group("conformance-1")
@through(1)
async def test_callboard_adds_no_fault_of_its_own(one_of_each: Gateway, configuration: Configuration) -> None:
    verdict = await judged(one_of_each, configuration)
    assert verdict.good, str(verdict)


@pytest.mark.xdist_group("conformance-2")
async def test_two_of_each_means_three_connectors(two_of_each: Gateway) -> None:
    status = await two_of_each.stack.cli_json("status")
    rooms = Counter(instance["room"] for instance in status["instances"])
    assert rooms == {"edge": 2, "router": 2, "connectors": 3, "authsvc": 2, "projections": 2}


@pytest.mark.xdist_group("conformance-2")
@through(2)
async def test_nor_do_two_of_each_service(two_of_each: Gateway, configuration: Configuration) -> None:
    before = two_of_each.front.requests.copy()
    verdict = await judged(two_of_each, configuration)
    assert verdict.good, str(verdict)
    served = two_of_each.front.requests - before
    assert len(served) == 2
    assert min(served.values()) > 10, "every edge has a share"
