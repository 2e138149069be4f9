"""Projection `organisations`: which there are, since when, under which title."""

from __future__ import annotations

from callboard.contracts.events import OrganisationCreated, Recorded
from callboard_projections.history.projection import Effect, Projection, storable


def _effects(recorded: Recorded) -> list[Effect]:
    match recorded.event:
        case OrganisationCreated(title=title):
            created = (recorded.organisation, storable(title), recorded.recorded_at)
            return [Effect("organisation_created", created, ("organisation", recorded.organisation))]
        case _:
            return []


ORGANISATIONS = Projection(
    name="organisations",
    layout=1,
    tables=("organisation",),
    kinds=("organisation.created",),
    effects=_effects,
)
