"""The events of people signing in, and of whoever was refused; `contracts.events` has the rules, and the list of all.

They stand in the log of every organisation of the person, or in the installation's where there is none. Nothing that
was typed is in them: accounts are named by their ids; addresses, and what nobody has here, by keyed digests.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Door = Literal["login", "api", "mcp", "oauth"]
"""Where somebody was refused: with a password or at the identity provider, or with a key at one of the endpoints."""
Means = Literal["password", "external", "invitation"]


class PersonSignedIn(msgspec.Struct, frozen=True, kw_only=True, tag="person.signed_in", tag_field="type"):
    """A person (by its id) has a new session (by its key, which opens nothing)."""

    person: str
    session: str
    means: Means


class PersonPasswordSet(msgspec.Struct, frozen=True, kw_only=True, tag="person.password_set", tag_field="type"):
    """The person has another password, and no session from before: by the one before, or by a link."""

    person: str
    by: Literal["password", "link"]


class PersonResetLinkMade(msgspec.Struct, frozen=True, kw_only=True, tag="person.reset_link_made", tag_field="type"):
    """Whoever has a link that an administrator made can set the person's password, once, until a time."""

    person: str
    expires_at: datetime


class Refused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one account or key was refused, from one address, at one door.

    `account`: the id of a person, token or client; `?…`, a digest, of what nobody has here; empty: not even that.
    `address`: a digest; the same for the same address, or for the same /64 of IPv6.
    """

    door: Door
    reason: str
    count: int
    account: str = ""
    address: str = ""


class AuthenticationRefused(
    msgspec.Struct, frozen=True, kw_only=True, tag="authentication.refused", tag_field="type", omit_defaults=True
):
    """What was refused between two times: the most frequent lines, and how many refusals more in no line of these."""

    since: datetime
    until: datetime
    lines: tuple[Refused, ...]
    others: int = 0


SignInEvent = PersonSignedIn | PersonPasswordSet | PersonResetLinkMade | AuthenticationRefused
