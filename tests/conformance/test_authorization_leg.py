"""The official suite finds no fault with Callboard as the authorization server of its client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from tests.conformance import expectations
from tests.conformance.authorization import Issuer, run_authorization_suite, running_issuer
from tests.conformance.configurations import AUTHORIZATION, AuthorizationSet

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("conformance-authorization")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def issuer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Issuer]:
    async with running_issuer(tmp_path_factory.mktemp("issuer")) as running:
        yield running


@pytest.mark.parametrize("one", AUTHORIZATION, ids=str)
async def test_callboard_is_an_authorization_server_without_a_fault(issuer: Issuer, one: AuthorizationSet) -> None:
    run = partial(run_authorization_suite, issuer, one)
    report, verdict = await expectations.judged(run, one, expectations.load("authorization"))
    assert verdict.good, str(verdict)
    assert report.passed() == (2, 2)


async def test_a_person_who_denies_is_a_fault_that_the_suite_sees(issuer: Issuer) -> None:
    report = await run_authorization_suite(issuer, AUTHORIZATION[0], decision="deny")
    assert set(report.not_passing) == {"authorization-code-grant"}
