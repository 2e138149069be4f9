"""An organisation begins once and does not end; it has one plan at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from callboard.contracts.events import OrganisationCreated
from callboard.contracts.people_events import OrganisationPlanChosen
from callboard.contracts.plans import Quotas
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider
from callboard.kernel.names import is_slug
from callboard.kernel.plans import PLANS, figures_of

MAX_TITLE = 200


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Begin an organisation."""

    organisation: str
    title: str = ""
    plan: str = ""


class Choose(msgspec.Struct, frozen=True, kw_only=True):
    """Give it a plan, with other figures where `quotas` has any."""

    organisation: str
    plan: str
    quotas: Quotas = Quotas()


Order = Create | Choose
OrganisationEvent = OrganisationCreated | OrganisationPlanChosen


class Organisation(msgspec.Struct, frozen=True):
    """Whether it has begun, and which plan it has."""

    exists: bool = False
    plan: OrganisationPlanChosen | None = None


def stream_of(organisation: str) -> str:
    """The stream of an organisation, in its own log."""
    return f"organisation-{organisation}"


def check(order: Create) -> None:
    """Raise `argument.invalid` for a name that cannot be a token of a subject, or an endless title."""
    if not is_slug(order.organisation):
        raise Problem(
            "argument.invalid",
            "organisation: use 1 to 63 of a-z, 0-9, _ and -, with a letter or digit at both ends",
            argument="organisation",
        )
    if len(order.title) > MAX_TITLE or not order.title.isprintable():
        raise Problem("argument.invalid", f"title: use at most {MAX_TITLE} printable characters", argument="title")


def check_plan(plan: str, quotas: Quotas) -> None:
    """Raise `argument.invalid` for a plan that there is not, or a figure that is none."""
    if plan not in PLANS:
        raise Problem("argument.invalid", f"plan: choose one of {', '.join(PLANS)}", argument="plan")
    figures = (quotas.playbooks, quotas.servers, quotas.calls_per_day)
    if any(figure is not None and not 0 <= figure < 2**53 for figure in figures):
        raise Problem("argument.invalid", "quotas: use whole numbers from 0 on", argument="quotas")


def decide(order: Order, state: Organisation) -> Sequence[OrganisationEvent]:
    """Creating one that exists changes nothing, and neither does the plan that it has."""
    match order:
        case Create():
            check(order)
            if state.exists:
                return ()
            created = OrganisationCreated(organisation=order.organisation, title=order.title)
            return (created, _chosen(order.organisation, order.plan, Quotas())) if order.plan else (created,)
        case Choose():
            check_plan(order.plan, order.quotas)
            chosen = _chosen(order.organisation, order.plan, order.quotas)
            return () if chosen == state.plan else (chosen,)
        case _:
            assert_never(order)


def _chosen(organisation: str, plan: str, quotas: Quotas) -> OrganisationPlanChosen:
    figures = figures_of(plan, quotas)
    return OrganisationPlanChosen(
        organisation=organisation,
        plan=plan,
        playbooks=figures.playbooks,
        servers=figures.servers,
        calls_per_day=figures.calls_per_day,
    )


def evolve(state: Organisation, event: OrganisationEvent) -> Organisation:
    """It exists from its first event on, and the last plan counts."""
    match event:
        case OrganisationCreated():
            return Organisation(exists=True)
        case OrganisationPlanChosen():
            return Organisation(exists=True, plan=event)
        case _:
            assert_never(event)


ORGANISATION = Decider[Order, Organisation, OrganisationEvent](Organisation(), decide, evolve)
