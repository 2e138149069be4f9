"""Who is served which version of a playbook, where it is not the current one for everybody.

A pin serves one client (the name on its tokens) a version that an operator chose. A canary tries a version on a share
of the others for a time; it is judged from the call records, and promoted or ended by itself. An explicit `@n` in the
URL wins over a pin, and a pin over a canary.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from callboard.contracts.personal import Personal


class PinClient(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.pin", tag_field="type"):
    """Serve a client this version from now on. Answered with `Done`."""

    command_id: str
    organisation: str
    playbook: str
    client: str
    version: int
    comment: str
    actor: str = ""


class UnpinClient(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.unpin", tag_field="type"):
    """Serve a client what everybody is served. Answered with `Done`."""

    command_id: str
    organisation: str
    playbook: str
    client: str
    comment: str
    actor: str = ""


class AskPins(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.pins?", tag_field="type"):
    """The pins of a playbook; of every playbook of the organisation when none is named."""

    organisation: str
    playbook: str = ""


class PinLine(msgspec.Struct, frozen=True, kw_only=True):
    """One pin: who is served what, who said so, why and when."""

    playbook: str
    client: Personal
    version: int
    pinned_by: Personal
    comment: str
    pinned_at: datetime


class Pins(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.pins", tag_field="type"):
    """Answer to `AskPins`, by playbook and client."""

    pins: tuple[PinLine, ...]


class StartCanary(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.start_canary", tag_field="type"):
    """Try a version on `percent` of the callers. `condition`: see `kernel.canary`. Answered with `Done`."""

    command_id: str
    organisation: str
    playbook: str
    version: int
    percent: float
    until: datetime
    condition: str
    min_calls: int
    comment: str
    actor: str = ""


class PromoteCanary(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.promote_canary", tag_field="type"):
    """The content of the version that is tried becomes the next version. `canary`: only if it is this one."""

    command_id: str
    organisation: str
    playbook: str
    comment: str
    canary: str = ""
    actor: str = ""


class EndCanary(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.end_canary", tag_field="type"):
    """Serve everybody the current version again. `canary`: only if it is this one."""

    command_id: str
    organisation: str
    playbook: str
    comment: str
    reason: Literal["stopped", "failed", "inconclusive"] = "stopped"
    canary: str = ""
    actor: str = ""


class CanaryLine(msgspec.Struct, frozen=True, kw_only=True):
    """A canary that runs."""

    playbook: str
    canary: str
    version: int
    percent: float
    until: datetime
    condition: str
    min_calls: int
    started_by: Personal
    comment: str
    started_at: datetime
