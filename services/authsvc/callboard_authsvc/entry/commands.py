"""Commands: one handler each, one call."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.access import (
    AdmitConsumer,
    ConsumerAdmission,
    CreateOrganisation,
    DestroySecret,
    DismissConsumer,
    IssueToken,
    RevokeToken,
    RotateToken,
    StoreSecret,
    TokenIssued,
)
from callboard.contracts.people import (
    AcceptInvitation,
    AssignPlaybook,
    ChangePassword,
    ChangeRole,
    CreateProject,
    CreateServiceAccount,
    ExternalLogin,
    FinishExternal,
    Invitation,
    InviteMember,
    Joined,
    OfferReset,
    Register,
    RemoveMember,
    RemoveProject,
    RenewSession,
    ResetOffered,
    ResetPassword,
    SessionOpened,
    SignIn,
    SignOut,
    StartExternal,
    WithdrawInvitation,
)
from callboard.contracts.personal import ErasePerson
from callboard.contracts.plans import ChoosePlan
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus, register
from callboard_authsvc.consumers.admit import admit_consumer
from callboard_authsvc.consumers.dependencies import ConsumerDependencies
from callboard_authsvc.consumers.dismiss import dismiss_consumer
from callboard_authsvc.erasure.dependencies import ErasureDependencies
from callboard_authsvc.erasure.erase import erase_person
from callboard_authsvc.external.dependencies import ExternalDependencies
from callboard_authsvc.external.sign_in import finish_external, start_external
from callboard_authsvc.journal import Journal
from callboard_authsvc.members.change import change_role, create_service_account, remove_member
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.members.invite import invite_member, withdraw_invitation
from callboard_authsvc.organisations.choose_plan import choose_plan
from callboard_authsvc.organisations.create import create_organisation
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.people.dependencies import PeopleDependencies
from callboard_authsvc.people.password import change_password, offer_reset, reset_password
from callboard_authsvc.people.register import accept_invitation, register_person
from callboard_authsvc.people.sessions import renew_session, sign_out
from callboard_authsvc.people.sign_in import sign_in
from callboard_authsvc.projects.change import change_projects
from callboard_authsvc.tokens.dependencies import TokenDependencies
from callboard_authsvc.tokens.issue import issue_token
from callboard_authsvc.tokens.revoke import revoke_token
from callboard_authsvc.tokens.rotate import rotate_token
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.destroy import destroy_secret
from callboard_authsvc.vault.store import store_secret


def register_organisation_commands(bus: Bus, journal: Journal, organisations: KnownOrganisations, plan: str) -> None:
    """Create, with the plan that new ones get; choose another plan."""

    async def create(command: CreateOrganisation) -> Done:
        return await create_organisation(command, journal, plan)

    async def choose(command: ChoosePlan) -> Done:
        return await choose_plan(command, journal, organisations)

    register(bus, subjects.CREATE_ORGANISATION, create)
    register(bus, subjects.CHOOSE_PLAN, choose)


def register_token_commands(bus: Bus, use: TokenDependencies) -> None:
    """Issue, rotate, revoke."""

    async def issue(command: IssueToken) -> TokenIssued:
        return await issue_token(command, use)

    async def revoke(command: RevokeToken) -> Done:
        return await revoke_token(command, use)

    async def rotate(command: RotateToken) -> TokenIssued:
        return await rotate_token(command, use)

    register(bus, subjects.ISSUE_TOKEN, issue)
    register(bus, subjects.ROTATE_TOKEN, rotate)
    register(bus, subjects.REVOKE_TOKEN, revoke)


def register_erasure_commands(bus: Bus, use: ErasureDependencies) -> None:
    """Erase."""

    async def erase(command: ErasePerson) -> Done:
        return await erase_person(command, use)

    register(bus, subjects.ERASE_PERSON, erase)


def register_vault_commands(bus: Bus, use: VaultDependencies) -> None:
    """Store, destroy."""

    async def store(command: StoreSecret) -> Done:
        return await store_secret(command, use)

    async def destroy(command: DestroySecret) -> Done:
        return await destroy_secret(command, use)

    register(bus, subjects.STORE_SECRET, store)
    register(bus, subjects.DESTROY_SECRET, destroy)


def register_consumer_commands(bus: Bus, use: ConsumerDependencies) -> None:
    """Admit, dismiss."""

    async def admit(command: AdmitConsumer) -> ConsumerAdmission:
        return await admit_consumer(command, use)

    async def dismiss(command: DismissConsumer) -> Done:
        return await dismiss_consumer(command, use)

    register(bus, subjects.ADMIT_CONSUMER, admit)
    register(bus, subjects.DISMISS_CONSUMER, dismiss)


def register_member_commands(bus: Bus, use: MemberDependencies) -> None:
    """Invite, withdraw, change, remove."""

    async def invite(command: InviteMember) -> Invitation:
        return await invite_member(command, use)

    async def withdraw(command: WithdrawInvitation) -> Done:
        return await withdraw_invitation(command, use)

    async def change(command: ChangeRole) -> Done:
        return await change_role(command, use)

    async def remove(command: RemoveMember) -> Done:
        return await remove_member(command, use)

    async def account(command: CreateServiceAccount) -> Done:
        return await create_service_account(command, use)

    register(bus, subjects.INVITE_MEMBER, invite)
    register(bus, subjects.WITHDRAW_INVITATION, withdraw)
    register(bus, subjects.CHANGE_ROLE, change)
    register(bus, subjects.REMOVE_MEMBER, remove)
    register(bus, subjects.CREATE_SERVICE_ACCOUNT, account)


def register_project_commands(bus: Bus, journal: Journal, organisations: KnownOrganisations) -> None:
    """Create, assign, remove."""

    async def create(command: CreateProject) -> Done:
        return await change_projects(command, journal, organisations)

    async def assign(command: AssignPlaybook) -> Done:
        return await change_projects(command, journal, organisations)

    async def remove(command: RemoveProject) -> Done:
        return await change_projects(command, journal, organisations)

    register(bus, subjects.CREATE_PROJECT, create)
    register(bus, subjects.ASSIGN_PLAYBOOK, assign)
    register(bus, subjects.REMOVE_PROJECT, remove)


def register_person_commands(bus: Bus, use: PeopleDependencies) -> None:
    """Sign in and out, join, passwords."""

    async def enter(command: SignIn) -> SessionOpened:
        return await sign_in(command, use)

    async def enrol(command: Register) -> SessionOpened:
        return await register_person(command, use)

    async def accept(command: AcceptInvitation) -> Joined:
        return await accept_invitation(command, use)

    async def renew(command: RenewSession) -> SessionOpened:
        return await renew_session(command, use)

    async def leave(command: SignOut) -> Done:
        return await sign_out(command, use)

    async def change(command: ChangePassword) -> SessionOpened:
        return await change_password(command, use)

    async def offer(command: OfferReset) -> ResetOffered:
        return await offer_reset(command, use)

    async def reset(command: ResetPassword) -> Done:
        return await reset_password(command, use)

    register(bus, subjects.SIGN_IN, enter)
    register(bus, subjects.REGISTER, enrol)
    register(bus, subjects.ACCEPT_INVITATION, accept)
    register(bus, subjects.RENEW_SESSION, renew)
    register(bus, subjects.SIGN_OUT, leave)
    register(bus, subjects.CHANGE_PASSWORD, change)
    register(bus, subjects.OFFER_RESET, offer)
    register(bus, subjects.RESET_PASSWORD, reset)


def register_external_commands(bus: Bus, use: ExternalDependencies) -> None:
    """Sign in at the identity provider."""

    async def start(command: StartExternal) -> ExternalLogin:
        return await start_external(command, use)

    async def finish(command: FinishExternal) -> SessionOpened:
        return await finish_external(command, use)

    register(bus, subjects.START_EXTERNAL, start)
    register(bus, subjects.FINISH_EXTERNAL, finish)
