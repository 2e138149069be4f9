"""Counting against a plan: pure."""

from __future__ import annotations

import pytest

from callboard.contracts.definitions import PlaybookContent, PlaybookDefinition, PlaybookServer, ServerDefinition
from callboard.contracts.events import Event, PlaybookPublished, PlaybookRetired, ServerRegistered, ServerRetired
from callboard.contracts.people_events import OrganisationPlanChosen
from callboard.contracts.problems import Problem
from callboard_router.quotas.domain import DAY, Meter, check_quotas
from callboard_router.quotas.meters import Meters
from callboard_router.state import Organisation

NOON = 20_000 * DAY + DAY / 2


def plan(**figures: int | None) -> OrganisationPlanChosen:
    limits: dict[str, int | None] = {"playbooks": None, "servers": None, "calls_per_day": None} | figures
    return OrganisationPlanChosen(organisation="acme", plan="free", **limits)


def server(name: str) -> ServerRegistered:
    return ServerRegistered(server=name, definition=ServerDefinition(url="http://127.0.0.1:1/mcp"))


def playbook(name: str, version: int = 1) -> PlaybookPublished:
    definition = PlaybookDefinition(servers={"a": PlaybookServer()})
    content = PlaybookContent(definition=definition, tools={}, prompts={}, resources={})
    return PlaybookPublished(playbook=name, version=version, content=content, content_digest="sha256:1")


def with_events(*events: Event) -> Organisation:
    organisation = Organisation()
    for event in events:
        organisation.fold(event)
    return organisation


@pytest.mark.parametrize(
    ("had", "wanted"),
    [
        ((plan(servers=1), server("a")), (server("b"),)),
        ((plan(servers=0),), (server("a"),)),
        ((plan(playbooks=1), server("a"), playbook("one")), (playbook("two"),)),
        ((plan(servers=2), server("a"), server("b"), server("c")), (server("d"),)),
    ],
)
def test_more_than_the_plan_allows_is_refused(had: tuple[Event, ...], wanted: tuple[Event, ...]) -> None:
    with pytest.raises(Problem) as refusal:
        check_quotas(with_events(*had), {"any": wanted})
    assert refusal.value.code == "quota.exceeded"
    assert refusal.value.data["limit"] in (0, 1, 2)


@pytest.mark.parametrize(
    ("had", "wanted"),
    [
        ((plan(servers=1, playbooks=1),), (server("a"), playbook("one"))),
        ((server("a"), server("b")), (server("c"), playbook("one"))),
        ((plan(playbooks=1), server("a"), playbook("one")), (playbook("one", 2),)),
        ((plan(playbooks=1), server("a"), playbook("one")), (PlaybookRetired(playbook="one"), playbook("two"))),
        ((plan(servers=1), server("a"), server("b"), server("c")), (ServerRetired(server="c"),)),
        ((plan(servers=1), plan(), server("a")), (server("b"),)),
    ],
)
def test_what_fits_what_shrinks_and_what_is_there_already_is_allowed(
    had: tuple[Event, ...], wanted: tuple[Event, ...]
) -> None:
    check_quotas(with_events(*had), {"any": wanted})


def test_a_meter_stops_at_its_limit_and_begins_anew_at_midnight() -> None:
    meter = Meter("free", 3)
    meter.take(NOON)
    meter.written, meter.fresh = 2, 0
    meter.take(NOON)
    with pytest.raises(Problem) as refusal:
        meter.take(NOON)
    assert refusal.value.data["retry_after"] == DAY // 2 + 1
    meter.take(NOON + DAY / 2)
    assert (meter.written, meter.fresh) == (0, 1)


def test_a_plan_without_a_limit_of_calls_is_not_counted() -> None:
    meters = Meters()
    meters.limit("acme", "free", 1)
    meters.take("acme")
    with pytest.raises(Problem):
        meters.take("acme")
    meters.take("zeta")
    meters.limit("acme", "unlimited", None)
    assert meters.limited == {}
    meters.take("acme")
