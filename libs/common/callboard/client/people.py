"""The part of the client about who may do what: members, invitations, service accounts, projects, oneself."""

from __future__ import annotations

from collections.abc import Sequence

from callboard.client.routes import Routes, organisation_path, part_of, playbook_path
from callboard.contracts.access import TokenIssued
from callboard.contracts.people import Invitation, Members, Projects, ResetOffered
from callboard.contracts.people_management import (
    GivenRole,
    Me,
    NewInvitation,
    NewProject,
    NewServiceAccount,
    ProjectOf,
    ResetFor,
    Rotation,
)
from callboard.contracts.plans import PlanOf, Quotas, Usage
from callboard.contracts.playbooks import Done
from callboard.contracts.signing import NewSigningKey, SigningKeys


class People(Routes):
    """Every method raises `Problem` when refused and `Unreachable` when nobody answers."""

    def me(self) -> Me:
        """What the token stands for."""
        return self._get("/me", Me)

    def signing_keys(self) -> SigningKeys:
        """The public keys of access tokens, the oldest first."""
        return self._get("/system/signing-keys", SigningKeys)

    def rotate_signing_key(self, comment: str, *, at_once: bool) -> SigningKeys:
        """Publish the next one; `at_once`: in the place of all others, so that every token is refused."""
        body = NewSigningKey(at_once=at_once, comment=comment)
        return self._post("/system/signing-keys", body, SigningKeys)

    def usage(self, organisation: str) -> Usage:
        """What it has and uses, beside what its plan allows."""
        return self._get(organisation_path(organisation), Usage)

    def choose_plan(self, organisation: str, plan: str, quotas: Quotas, comment: str) -> Done:
        """Give it a plan, with other figures where `quotas` has any."""
        body = PlanOf(plan=plan, quotas=quotas, comment=comment)
        return self._change("PUT", f"{organisation_path(organisation)}/plan", Done, body)

    def members(self, organisation: str) -> Members:
        """Members and open invitations."""
        return self._get(f"{organisation_path(organisation)}/members", Members)

    def invite(
        self, organisation: str, role: str, permissions: Sequence[str], email: str, expires_in_seconds: int
    ) -> Invitation:
        """A link by which one person joins; its token is shown this once."""
        body = NewInvitation(
            role=role, permissions=tuple(permissions), email=email, expires_in_seconds=expires_in_seconds
        )
        return self._post(f"{organisation_path(organisation)}/invitations", body, Invitation)

    def withdraw_invitation(self, organisation: str, invitation: str) -> Done:
        """Refuse the link from now on."""
        return self._delete(f"{organisation_path(organisation)}/invitations/{part_of(invitation)}")

    def give_role(self, organisation: str, member: str, role: str, permissions: Sequence[str], comment: str) -> Done:
        """Another role, with these permissions on top."""
        body = GivenRole(role=role, permissions=tuple(permissions), comment=comment)
        return self._change("PUT", f"{organisation_path(organisation)}/members/{part_of(member)}", Done, body)

    def remove_member(self, organisation: str, member: str, comment: str) -> Done:
        """End a membership, and every token that depends on it."""
        return self._delete(f"{organisation_path(organisation)}/members/{part_of(member)}", comment=comment)

    def create_service_account(self, organisation: str, account: str, role: str, permissions: Sequence[str]) -> Done:
        """A member that is no person."""
        body = NewServiceAccount(account=account, role=role, permissions=tuple(permissions))
        return self._post(f"{organisation_path(organisation)}/service-accounts", body, Done)

    def rotate_token(self, organisation: str, key_id: str, overlap_seconds: int) -> TokenIssued:
        """Another token that allows the same; the old one goes on for so long."""
        path = f"{organisation_path(organisation)}/tokens/{part_of(key_id)}/rotate"
        return self._post(path, Rotation(overlap_seconds=overlap_seconds), TokenIssued)

    def offer_reset(self, email: str) -> ResetOffered:
        """A link by which a person sets another password."""
        return self._post("/password-resets", ResetFor(email=email), ResetOffered)

    def projects(self, organisation: str) -> Projects:
        """Projects with their playbooks."""
        return self._get(f"{organisation_path(organisation)}/projects", Projects)

    def create_project(self, organisation: str, project: str, title: str) -> Done:
        """Make a project, or title it otherwise."""
        body = NewProject(project=project, title=title)
        return self._post(f"{organisation_path(organisation)}/projects", body, Done)

    def remove_project(self, organisation: str, project: str, comment: str) -> Done:
        """Dissolve it; its playbooks stay."""
        return self._delete(f"{organisation_path(organisation)}/projects/{part_of(project)}", comment=comment)

    def assign_playbook(self, organisation: str, playbook: str, project: str) -> Done:
        """Put a playbook into a project; into none with an empty one."""
        path = f"{playbook_path(organisation, playbook)}/project"
        return self._change("PUT", path, Done, ProjectOf(project=project))
