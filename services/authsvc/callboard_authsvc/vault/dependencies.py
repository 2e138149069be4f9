"""What the verbs of this folder work with."""

from __future__ import annotations

from dataclasses import dataclass

from callboard_authsvc.adapters.secret_table import SecretTable
from callboard_authsvc.clock import Chance, Clock
from callboard_authsvc.journal import Journal
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.vault.data_keys import DataKeys
from callboard_authsvc.vault.fingerprint import Fingerprint


@dataclass(frozen=True)
class VaultDependencies:
    """Made once, in `app.py`."""

    journal: Journal
    organisations: KnownOrganisations
    table: SecretTable
    data_keys: DataKeys
    fingerprint: Fingerprint
    clock: Clock
    chance: Chance
    task_root: bytes
