"""What the verbs of this folder work with."""

from __future__ import annotations

from dataclasses import dataclass

from callboard_authsvc.adapters.revocation_push import RevocationPush
from callboard_authsvc.clock import Clock
from callboard_authsvc.erasure.keys import PersonKeys
from callboard_authsvc.journal import Journal
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.organisations.known import KnownOrganisations


@dataclass(frozen=True)
class ErasureDependencies:
    """Made once, in `app.py`."""

    journal: Journal
    organisations: KnownOrganisations
    keys: PersonKeys
    members: MemberDependencies
    push: RevocationPush
    clock: Clock
