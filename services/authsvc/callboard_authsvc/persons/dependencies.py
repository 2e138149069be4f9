"""What the verbs of this folder work with."""

from __future__ import annotations

from dataclasses import dataclass

from callboard_authsvc.adapters.revocation_push import RevocationPush
from callboard_authsvc.clock import Clock
from callboard_authsvc.journal import Journal
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.persons.keys import PersonKeys


@dataclass(frozen=True)
class PersonDependencies:
    """Made once, in `app.py`."""

    journal: Journal
    organisations: KnownOrganisations
    keys: PersonKeys
    push: RevocationPush
    clock: Clock
