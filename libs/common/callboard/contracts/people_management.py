"""Bodies and answers of the management API about people, members and projects. Unknown fields are refused."""

from __future__ import annotations

from datetime import datetime

import msgspec

from callboard.contracts.people import PersonLine


class Credentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /session`."""

    email: str
    password: str

    def __repr__(self) -> str:
        return "Credentials([redacted])"


class Registration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /people`: who used an invitation without being a person here yet."""

    token: str
    email: str
    password: str
    name: str = ""
    command_id: str | None = None

    def __repr__(self) -> str:
        return "Registration([redacted])"


class InvitationLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /invitations/accept`."""

    token: str
    command_id: str | None = None

    def __repr__(self) -> str:
        return "InvitationLink([redacted])"


class NewPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT /me/password`."""

    current: str
    password: str

    def __repr__(self) -> str:
        return "NewPassword([redacted])"


class ResetFor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /password-resets`."""

    email: str


class ResetBy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /password-resets/use`."""

    token: str
    password: str

    def __repr__(self) -> str:
        return "ResetBy([redacted])"


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `GET /me` and of what opens a session.

    `organisations`: name > role and permissions there, or the scopes of a token without a member. `person` and `csrf`
    (to be sent as `X-CSRF-Token` with every change) are those of a session.
    """

    client: str
    key_id: str
    administers: bool
    organisations: dict[str, tuple[str, ...]]
    scopes: tuple[str, ...]
    playbooks: tuple[str, ...] = ()
    person: PersonLine | None = None
    csrf: str = ""
    expires_at: datetime | None = None


class NewInvitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/invitations`. `email`: the only address that may use it."""

    role: str
    permissions: tuple[str, ...] = ()
    email: str = ""
    expires_in_seconds: int = 7 * 86_400
    command_id: str | None = None


class GivenRole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT …/members/{member}`."""

    role: str
    permissions: tuple[str, ...] = ()
    comment: str = ""
    command_id: str | None = None


class NewServiceAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/service-accounts`."""

    account: str
    role: str
    permissions: tuple[str, ...] = ()
    command_id: str | None = None


class NewProject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/projects`; one that exists gets the title."""

    project: str
    title: str = ""
    command_id: str | None = None


class ProjectOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT …/playbooks/{name}/project`; an empty one takes the playbook out of its project."""

    project: str
    command_id: str | None = None


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST …/tokens/{key_id}/rotate`: how long the old one goes on working."""

    overlap_seconds: int = 3600
    command_id: str | None = None
