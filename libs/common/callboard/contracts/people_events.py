"""The events of members, projects and plans; `callboard.contracts.events` has the rules, and the list of all.

Persons are named by their ids: an event holds no e-mail address and no name of anybody.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class MemberInvited(msgspec.Struct, frozen=True, kw_only=True, tag="member.invited", tag_field="type"):
    """Whoever has the link of this invitation may join with this role, once, until a time."""

    invitation: str
    role: str
    permissions: tuple[str, ...]
    expires_at: datetime


class InvitationWithdrawn(
    msgspec.Struct, frozen=True, kw_only=True, tag="member.invitation_withdrawn", tag_field="type"
):
    """The link is refused from here on."""

    invitation: str


class MemberJoined(msgspec.Struct, frozen=True, kw_only=True, tag="member.joined", tag_field="type"):
    """A person (by its id) belongs to the organisation, by this invitation, which is used up."""

    member: str
    role: str
    permissions: tuple[str, ...]
    invitation: str


class MemberProvisioned(msgspec.Struct, frozen=True, kw_only=True, tag="member.provisioned", tag_field="type"):
    """A person (by its id) belongs to the organisation because of its groups at the identity provider."""

    member: str
    role: str


class ServiceAccountCreated(msgspec.Struct, frozen=True, kw_only=True, tag="member.account_created", tag_field="type"):
    """A member that is no person; tokens under its name may do what its role allows."""

    account: str
    role: str
    permissions: tuple[str, ...]


class MemberRoleGiven(msgspec.Struct, frozen=True, kw_only=True, tag="member.role_given", tag_field="type"):
    """The member has this role from here on, and these permissions on top."""

    member: str
    role: str
    permissions: tuple[str, ...]


class MemberRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="member.removed", tag_field="type"):
    """The member does not belong to the organisation any more; the tokens behind which it stood are refused."""

    member: str


class ProjectCreated(msgspec.Struct, frozen=True, kw_only=True, tag="project.created", tag_field="type"):
    """A group of playbooks exists."""

    project: str
    title: str = ""


class ProjectRetitled(msgspec.Struct, frozen=True, kw_only=True, tag="project.retitled", tag_field="type"):
    """The project is called otherwise."""

    project: str
    title: str


class PlaybookAssigned(msgspec.Struct, frozen=True, kw_only=True, tag="project.playbook_assigned", tag_field="type"):
    """The playbook belongs to this project, and to no other."""

    project: str
    playbook: str


class PlaybookUnassigned(
    msgspec.Struct, frozen=True, kw_only=True, tag="project.playbook_unassigned", tag_field="type"
):
    """The playbook belongs to no project."""

    playbook: str


class ProjectRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="project.removed", tag_field="type"):
    """The group is dissolved; its playbooks belong to no project."""

    project: str


class OrganisationPlanChosen(
    msgspec.Struct, frozen=True, kw_only=True, tag="organisation.plan_chosen", tag_field="type"
):
    """The organisation may have and use so much from here on; None means as much as it likes."""

    organisation: str
    plan: str
    playbooks: int | None
    servers: int | None
    calls_per_day: int | None
