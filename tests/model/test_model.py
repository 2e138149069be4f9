"""Ten thousand steps of anything at all: the gateway is what a model of a few dictionaries says it is."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import asyncpg
import msgspec
import pytest
import structlog
import uvloop
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from callboard.contracts.events import EventMeta, PlaybookRetired, Recorded
from callboard.platform.event_store import Appended, Within, Write
from callboard_projections.history.assignments import ASSIGNMENTS
from callboard_projections.history.playbooks import PLAYBOOKS
from callboard_projections.history.projection import Effect, Projection
from callboard_projections.history.registry import PROJECTIONS, establish
from callboard_router import decisions
from callboard_router.catalogue import drift
from callboard_router.drafts import domain as drafts
from callboard_router.playbooks import domain
from tests.model.gateway import CrashingStore, Gateway
from tests.model.machine import Differs, Machine, Steps, new_id
from tests.support.databases import Databases

STEPS, LENGTH = 10_000, 100
FOUND_WITHIN = 10_000
"""Steps in which each broken gateway must be found out; it takes a few hundred as a rule."""


@pytest.fixture(scope="module")
def place(databases: Databases) -> Iterator[dict[str, Any]]:
    """A loop and a database of the machines' own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    loop = uvloop.new_event_loop()
    pool = loop.run_until_complete(_opened(loop.run_until_complete(databases.migrated())))
    try:
        yield {"loop": loop, "pool": pool}
    finally:
        loop.run_until_complete(pool.close())
        loop.close()
        structlog.reset_defaults()


async def _as_it_is(connection: asyncpg.Connection) -> None:
    return None


async def _opened(dsn: str) -> asyncpg.Pool:
    # Nothing here leaves state in a session, and clearing it after each statement doubles the round trips.
    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=4, reset=_as_it_is)
    await establish(pool, PROJECTIONS)
    return pool


def run(place: dict[str, Any], gateway: type[Gateway], steps: Steps, least: int, *phases: Phase) -> None:
    """Take at least so many steps, unless a difference is found."""
    machine = type("Prepared", (Machine,), place | {"steps": steps, "gateway_type": gateway})
    while steps.taken < least:
        chosen = settings(
            max_examples=min(40, (least - steps.taken) // LENGTH + 1), stateful_step_count=LENGTH, deadline=None,
            database=None, phases=phases, suppress_health_check=list(HealthCheck), print_blob=True,
            report_multiple_bugs=False,
            derandomize=False,  # where CI is set, every round would take the same steps again
        )  # fmt: skip
        run_state_machine_as_test(machine, settings=chosen)


@pytest.mark.timeout(300)
def test_any_sequence_of_changes_crashes_and_rebuilds_is_what_the_model_says(
    place: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    steps, started, processor = Steps(), time.monotonic(), time.process_time()
    run(place, Gateway, steps, STEPS, Phase.generate, Phase.shrink)
    rules = ", ".join(f"{name} {count}" for name, count in sorted(steps.by_rule.items()))
    seconds, own = time.monotonic() - started, time.process_time() - processor
    with capsys.disabled():
        print(
            f"\nmodel test: {steps.taken} steps in {steps.examples} examples; {seconds:.0f} s, {own:.0f} s of them here"
        )
        print(f"  {steps.events} events, {steps.refused} commands refused by both; {rules}")
    assert steps.taken >= STEPS
    assert steps.events > steps.taken / 10, "what was tried must have effects, not only refusals"


class Forgetful(CrashingStore):
    """Does not remember commands: what comes again happens again."""

    async def append(
        self,
        organisation: str,
        command_id: str,
        request: msgspec.Struct,
        meta: EventMeta,
        writes: Sequence[Write],
        within: Within | None = None,
        at: int | None = None,
    ) -> Appended:
        return await super().append(organisation, new_id(), request, meta, writes, within, at)

    async def seen(self, organisation: str, command_id: str, request: msgspec.Struct) -> list[Recorded] | None:
        return None


class ForgetsCommands(Gateway):
    store_type = Forgetful


def _without(projection: Projection, effects: Callable[[Recorded], Sequence[Effect]]) -> tuple[Projection, ...]:
    broken = msgspec.structs.replace(projection, effects=effects)
    return tuple(broken if each is projection else each for each in PROJECTIONS)


def _pins_for_ever(recorded: Recorded) -> Sequence[Effect]:
    return () if isinstance(recorded.event, PlaybookRetired) else ASSIGNMENTS.effects(recorded)


class KeepsPins(Gateway):
    projections = _without(ASSIGNMENTS, _pins_for_ever)


_numbers = itertools.count()


def _never_the_same(recorded: Recorded) -> Sequence[Effect]:
    """The digest of a version, which no step compares, is another one each time it is folded."""
    return [
        effect._replace(values=(*effect.values[:7], str(next(_numbers)), *effect.values[8:]))
        if effect.row[0] == "version"
        else effect
        for effect in PLAYBOOKS.effects(recorded)
    ]


class FoldsAnew(Gateway):
    projections = _without(PLAYBOOKS, _never_the_same)


def _one_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    content_of = domain._existing
    monkeypatch.setattr(domain, "_existing", lambda name, version, state: content_of(name, max(1, version - 1), state))


def _nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "_verdict", lambda change, policy: "accepted")


def _drift_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "with_drift", lambda organisation, writes: writes)


def _drafts_are_never_outdated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "is_outdated", lambda draft, playbook: False)


@pytest.mark.parametrize(
    ("gateway", "fault"),
    [
        (ForgetsCommands, None),
        (KeepsPins, None),
        (FoldsAnew, None),
        (Gateway, _one_too_early),
        (Gateway, _nothing_is_held),
        (Gateway, _drift_is_not_told),
        (Gateway, _drafts_are_never_outdated),
    ],
    ids=["store", "projection", "impure-projection", "decider", "drift", "untold-drift", "draft"],
)
@pytest.mark.timeout(180)
def test_a_broken_gateway_is_found_out(
    place: dict[str, Any],
    gateway: type[Gateway],
    fault: Callable[[pytest.MonkeyPatch], None] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault is not None:
        fault(monkeypatch)
    with pytest.raises(Differs):
        run(place, gateway, Steps(), FOUND_WITHIN, Phase.generate)
