"""Persons, their sessions, members of organisations, invitations, projects: commands to authsvc and its answers.

A person is named by an id; e-mail and name stand in authsvc's own tables and in answers, never in an event.
`by` is the key of whoever asks, set by the edge from what it verified; authsvc looks up what that one may do now.
Empty: the installation itself. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from callboard.contracts.access import Principal

# --- members and invitations --------------------------------------------------------------------------


class InviteMember(msgspec.Struct, frozen=True, kw_only=True, tag="member.invite", tag_field="type"):
    """Make a link by which one person joins with this role. `email`, when given, is the only one that may use it."""

    command_id: str
    organisation: str
    role: str
    permissions: tuple[str, ...] = ()
    email: str = ""
    expires_in_seconds: int = 7 * 86_400
    actor: str = ""
    by: str = ""

    def __repr__(self) -> str:
        return f"InviteMember(organisation={self.organisation!r}, role={self.role!r})"


class Invitation(msgspec.Struct, frozen=True, kw_only=True, tag="invitation", tag_field="type"):
    """The only time the token of the link is shown."""

    invitation: str
    token: str
    role: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Invitation(invitation={self.invitation!r}, role={self.role!r})"


class WithdrawInvitation(msgspec.Struct, frozen=True, kw_only=True, tag="member.withdraw", tag_field="type"):
    """Refuse the link from now on."""

    command_id: str
    organisation: str
    invitation: str
    actor: str = ""
    by: str = ""


class AcceptInvitation(msgspec.Struct, frozen=True, kw_only=True, tag="member.accept", tag_field="type"):
    """The person of this session joins. `session` is the value of its cookie."""

    command_id: str
    token: str
    session: str

    def __repr__(self) -> str:
        return "AcceptInvitation()"


class Joined(msgspec.Struct, frozen=True, kw_only=True, tag="member.accepted", tag_field="type"):
    """Answer to `AcceptInvitation`."""

    organisation: str
    role: str


class ChangeRole(msgspec.Struct, frozen=True, kw_only=True, tag="member.change_role", tag_field="type"):
    """Give a member another role, with these permissions on top."""

    command_id: str
    organisation: str
    member: str
    role: str
    permissions: tuple[str, ...] = ()
    comment: str = ""
    actor: str = ""
    by: str = ""


class RemoveMember(msgspec.Struct, frozen=True, kw_only=True, tag="member.remove", tag_field="type"):
    """End a membership, and with it every key that depends on it; anybody may end their own."""

    command_id: str
    organisation: str
    member: str
    comment: str = ""
    actor: str = ""
    by: str = ""


class CreateServiceAccount(msgspec.Struct, frozen=True, kw_only=True, tag="member.create_account", tag_field="type"):
    """Make a member that is no person; it acts through tokens that are issued under its name."""

    command_id: str
    organisation: str
    account: str
    role: str
    permissions: tuple[str, ...] = ()
    actor: str = ""
    by: str = ""


class AskMembers(msgspec.Struct, frozen=True, kw_only=True, tag="members?", tag_field="type"):
    """List the members of an organisation and the invitations that are open."""

    organisation: str


class MemberLine(msgspec.Struct, frozen=True, kw_only=True):
    """One member; `email` and `name` are empty for a service account."""

    member: str
    kind: str
    role: str
    permissions: tuple[str, ...]
    since: datetime
    email: str = ""
    name: str = ""


class InvitationLine(msgspec.Struct, frozen=True, kw_only=True):
    """One open invitation."""

    invitation: str
    role: str
    permissions: tuple[str, ...]
    expires_at: datetime
    email: str = ""


class Members(msgspec.Struct, frozen=True, kw_only=True, tag="members", tag_field="type"):
    """Answer to `AskMembers`; the highest role first."""

    members: tuple[MemberLine, ...]
    invitations: tuple[InvitationLine, ...]


# --- projects -------------------------------------------------------------------------------------------


class CreateProject(msgspec.Struct, frozen=True, kw_only=True, tag="project.create", tag_field="type"):
    """Make a group of playbooks, or give one that exists another title."""

    command_id: str
    organisation: str
    project: str
    title: str = ""
    actor: str = ""


class AssignPlaybook(msgspec.Struct, frozen=True, kw_only=True, tag="project.assign_playbook", tag_field="type"):
    """Put a playbook into a project, and out of the one it was in; an empty project: into none."""

    command_id: str
    organisation: str
    project: str
    playbook: str
    actor: str = ""


class RemoveProject(msgspec.Struct, frozen=True, kw_only=True, tag="project.remove", tag_field="type"):
    """Dissolve a project; its playbooks stay as they are."""

    command_id: str
    organisation: str
    project: str
    comment: str = ""
    actor: str = ""


class AskProjects(msgspec.Struct, frozen=True, kw_only=True, tag="projects?", tag_field="type"):
    """List the projects of an organisation."""

    organisation: str


class ProjectLine(msgspec.Struct, frozen=True, kw_only=True):
    """One project."""

    project: str
    title: str
    playbooks: tuple[str, ...]


class Projects(msgspec.Struct, frozen=True, kw_only=True, tag="projects", tag_field="type"):
    """Answer to `AskProjects`, by name."""

    projects: tuple[ProjectLine, ...]


# --- persons and sessions -------------------------------------------------------------------------------


class SignIn(msgspec.Struct, frozen=True, kw_only=True, tag="person.sign_in", tag_field="type"):
    """Open a session with a password. `address`: where the request came from; `former`: a session to end."""

    email: str
    password: str
    address: str = ""
    former: str = ""

    def __repr__(self) -> str:
        return "SignIn()"


class Register(msgspec.Struct, frozen=True, kw_only=True, tag="person.register", tag_field="type"):
    """Become a person by an invitation, join its organisation, and open a session."""

    command_id: str
    token: str
    email: str
    password: str
    name: str = ""
    address: str = ""

    def __repr__(self) -> str:
        return "Register()"


class StartExternal(msgspec.Struct, frozen=True, kw_only=True, tag="person.start_external", tag_field="type"):
    """Begin to sign in at the identity provider."""


class ExternalLogin(msgspec.Struct, frozen=True, kw_only=True, tag="person.external_login", tag_field="type"):
    """Where the browser goes, and what it shows when it comes back: nobody else can finish this login."""

    url: str
    ticket: str

    def __repr__(self) -> str:
        return "ExternalLogin()"


class FinishExternal(msgspec.Struct, frozen=True, kw_only=True, tag="person.finish_external", tag_field="type"):
    """What the provider sent back by the browser, with the browser's `ticket`; `former`: a session to end.

    `address`: where the request came from.
    """

    ticket: str
    state: str
    code: str
    iss: str = ""
    former: str = ""
    address: str = ""

    def __repr__(self) -> str:
        return "FinishExternal()"


class ReceiveWebhook(msgspec.Struct, frozen=True, kw_only=True, tag="person.receive_webhook", tag_field="type"):
    """What the identity provider tells: the headers `webhook-id`, `-timestamp` and `-signature`, and the body."""

    id: str
    timestamp: str
    signatures: str
    body: bytes

    def __repr__(self) -> str:
        return f"ReceiveWebhook(id={self.id!r})"


class AskExternal(msgspec.Struct, frozen=True, kw_only=True, tag="external?", tag_field="type"):
    """Whom does this JWT of the identity provider stand for? Answered with a `Principal`, or `auth.invalid`."""

    token: str

    def __repr__(self) -> str:
        return "AskExternal()"


class AskWaysIn(msgspec.Struct, frozen=True, kw_only=True, tag="ways_in?", tag_field="type"):
    """In which ways can a person sign in here, besides a password?"""


class WaysIn(msgspec.Struct, frozen=True, kw_only=True, tag="ways_in", tag_field="type"):
    """Answer to `AskWaysIn`. `external`: at an identity provider."""

    external: bool


class PersonLine(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is, to themselves and to those who may see the members of their organisations."""

    person: str
    email: str
    name: str = ""

    def __repr__(self) -> str:
        return f"PersonLine(person={self.person!r})"


class AskSession(msgspec.Struct, frozen=True, kw_only=True, tag="session?", tag_field="type"):
    """Whose session is this? Unknown, ended and expired are `auth.invalid`."""

    session: str

    def __repr__(self) -> str:
        return "AskSession()"


class SignedIn(msgspec.Struct, frozen=True, kw_only=True, tag="session", tag_field="type"):
    """Answer to `AskSession`: the person as a principal, whose `key_id` names the session.

    `csrf`: what every change that comes with the cookie has to show beside it; it is bound to the session.
    """

    principal: Principal
    person: PersonLine
    csrf: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"SignedIn(person={self.person!r})"


class SessionOpened(msgspec.Struct, frozen=True, kw_only=True, tag="session.opened", tag_field="type"):
    """A new session; `session` is the value of its cookie and shown to nobody else."""

    session: str
    signed_in: SignedIn

    def __repr__(self) -> str:
        return f"SessionOpened(signed_in={self.signed_in!r})"


class RenewSession(msgspec.Struct, frozen=True, kw_only=True, tag="session.renew", tag_field="type"):
    """End this session and open another one of the same person."""

    session: str

    def __repr__(self) -> str:
        return "RenewSession()"


class SignOut(msgspec.Struct, frozen=True, kw_only=True, tag="session.end", tag_field="type"):
    """End this session, or all of its person."""

    session: str
    everywhere: bool = False

    def __repr__(self) -> str:
        return "SignOut()"


class ChangePassword(msgspec.Struct, frozen=True, kw_only=True, tag="person.change_password", tag_field="type"):
    """Set another password and end every session of the person; the answer is a new one."""

    session: str
    current: str
    password: str
    address: str = ""

    def __repr__(self) -> str:
        return "ChangePassword()"


class OfferReset(msgspec.Struct, frozen=True, kw_only=True, tag="person.offer_reset", tag_field="type"):
    """Make a link by which the person with this e-mail sets another password, once, within an hour."""

    email: str
    actor: str = ""

    def __repr__(self) -> str:
        return "OfferReset()"


class ResetOffered(msgspec.Struct, frozen=True, kw_only=True, tag="person.reset_offered", tag_field="type"):
    """The only time the token of the link is shown."""

    person: str
    token: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"ResetOffered(person={self.person!r})"


class ResetPassword(msgspec.Struct, frozen=True, kw_only=True, tag="person.reset_password", tag_field="type"):
    """Set another password by such a link; every session of the person ends."""

    token: str
    password: str
    address: str = ""

    def __repr__(self) -> str:
        return "ResetPassword()"
