"""Commands about the keys of an organisation's vault. Subjects: `callboard.contracts.subjects`."""

from __future__ import annotations

import msgspec


class RotateDataKey(msgspec.Struct, frozen=True, kw_only=True, tag="vault.rotate", tag_field="type"):
    """Seal everything in the organisation's vault under a new data key; nothing is unreadable meanwhile."""

    command_id: str
    organisation: str
    actor: str = ""


class ShredVault(msgspec.Struct, frozen=True, kw_only=True, tag="vault.shred", tag_field="type"):
    """Destroy the data keys of an organisation, and with them everything that was ever sealed under them."""

    command_id: str
    organisation: str
    comment: str
    actor: str = ""
