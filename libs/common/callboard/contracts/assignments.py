"""Who is served which version of a playbook, where it is not the current one for everybody.

A pin serves one client (the name on its tokens) a version that an operator chose. An explicit `@n` in the URL wins.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


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
    client: str
    version: int
    pinned_by: str
    comment: str
    pinned_at: datetime


class Pins(msgspec.Struct, frozen=True, kw_only=True, tag="playbook.pins", tag_field="type"):
    """Answer to `AskPins`, by playbook and client."""

    pins: tuple[PinLine, ...]
