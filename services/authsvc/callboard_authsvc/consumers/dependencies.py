"""What the verbs of this folder work with."""

from __future__ import annotations

from dataclasses import dataclass

from callboard_authsvc.adapters.consumer_access import ConsumerAccess
from callboard_authsvc.adapters.consumer_table import ConsumerTable
from callboard_authsvc.clock import Clock
from callboard_authsvc.consumers.upkeep import ConsumerUpkeep
from callboard_authsvc.journal import Journal
from callboard_authsvc.members.rights import Rights
from callboard_authsvc.organisations.known import KnownOrganisations


@dataclass(frozen=True)
class ConsumerDependencies:
    """Made once, in `app.py`."""

    journal: Journal
    organisations: KnownOrganisations
    table: ConsumerTable
    access: ConsumerAccess
    rights: Rights
    upkeep: ConsumerUpkeep
    clock: Clock
