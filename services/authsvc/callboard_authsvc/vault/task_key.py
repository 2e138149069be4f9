"""The key that seals task ids: derived, never stored, so that every worker opens what any other sealed."""

from __future__ import annotations

import hashlib
import hmac

from callboard.contracts.access import AskTaskKey, TaskKey
from callboard_authsvc.vault.dependencies import VaultDependencies


async def task_key(question: AskTaskKey, use: VaultDependencies) -> TaskKey:
    """64 bytes of the organisation's own."""
    return TaskKey(key=hmac.digest(use.task_root, question.organisation.encode(), hashlib.sha512))
