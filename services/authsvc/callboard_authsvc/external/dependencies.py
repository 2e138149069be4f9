"""What the verbs of this folder work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from callboard_authsvc.adapters.external_table import ExternalTable
from callboard_authsvc.adapters.identity_provider import IdentityProvider
from callboard_authsvc.people.dependencies import PeopleDependencies


@dataclass(frozen=True)
class ExternalDependencies:
    """Made once, in `app.py`. `provider` is None where the settings name none.

    `organisation`: where the `roles` of groups (the claim `groups_claim`) are roles. `parties`: the `azp` whose JWTs
    the management API takes.
    """

    provider: IdentityProvider | None
    table: ExternalTable
    people: PeopleDependencies
    organisation: str
    groups_claim: str
    roles: Mapping[str, str]
    parties: frozenset[str]
