"""What the verbs of this folder work with."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from callboard.platform.egress import Egress
from callboard.platform.event_store import EventStore
from callboard_authsvc.adapters.webhook_table import WebhookTable
from callboard_authsvc.settings import AuthsvcSettings
from callboard_authsvc.vault.dependencies import VaultDependencies


@dataclass(frozen=True)
class WebhookDependencies:
    """Made once, by `build`. `base`: seconds before the second attempt. `give_up`: after so many it is disabled."""

    table: WebhookTable
    vault: VaultDependencies
    store: EventStore
    egress: Egress
    base: float
    give_up: float


def build(
    settings: AuthsvcSettings, pool: asyncpg.Pool, store: EventStore, vault: VaultDependencies, egress: Egress
) -> WebhookDependencies:
    """For `app.py`."""
    base, give_up = settings.webhook_retry_seconds, settings.webhook_give_up_seconds
    return WebhookDependencies(WebhookTable(pool), vault, store, egress, base, give_up)
