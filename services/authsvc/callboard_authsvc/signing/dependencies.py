"""What the verbs of this folder work with."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from callboard.platform.bus import Bus
from callboard_authsvc.adapters.signing_key_table import SigningKeyTable
from callboard_authsvc.clock import Chance, Clock
from callboard_authsvc.journal import Journal
from callboard_authsvc.signing.mint import Minter
from callboard_authsvc.vault.keys import KeyEncryption


@dataclass(frozen=True)
class SigningDependencies:
    """Made once, in `app.py`; `minter` is for whoever issues access tokens."""

    journal: Journal
    table: SigningKeyTable
    keys: KeyEncryption
    bus: Bus
    minter: Minter
    clock: Clock
    chance: Chance


def signing_of(
    bus: Bus, journal: Journal, pool: asyncpg.Pool, keys: KeyEncryption, clock: Clock, chance: Chance
) -> SigningDependencies:
    """All of it over this database."""
    table = SigningKeyTable(pool)
    return SigningDependencies(journal, table, keys, bus, Minter(table, keys, clock), clock, chance)
