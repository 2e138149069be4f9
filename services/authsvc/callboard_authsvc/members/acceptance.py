"""What the log remembers of the commands by which somebody joined: nothing of the person but the id."""

from __future__ import annotations

import msgspec


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """`actor` is the id of the person who joins."""

    command_id: str
    organisation: str
    invitation: str
    actor: str


class Provisioning(msgspec.Struct, frozen=True, kw_only=True):
    """The groups that a person has elsewhere make it a member, or end that; `actor` is the person."""

    command_id: str
    organisation: str
    role: str
    actor: str
