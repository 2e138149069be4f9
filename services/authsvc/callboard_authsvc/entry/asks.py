"""Questions: one handler each, one call."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.access import (
    AskConsumers,
    AskSecrets,
    AskTaskKey,
    AskTokens,
    Consumers,
    OpenedSecrets,
    OpenSecrets,
    Principal,
    Secrets,
    TaskKey,
    Tokens,
    VerifyToken,
)
from callboard.contracts.audit import Anchor, SignAnchor
from callboard.contracts.people import AskExternal, AskMembers, AskProjects, AskSession, Members, Projects, SignedIn
from callboard.contracts.personal import AskPersons, OpenedPersonal, OpenPersonal, Persons
from callboard.platform.bus import Bus, register
from callboard_authsvc.anchors.sign import Anchors
from callboard_authsvc.consumers.dependencies import ConsumerDependencies
from callboard_authsvc.consumers.list import list_consumers
from callboard_authsvc.erasure.dependencies import ErasureDependencies
from callboard_authsvc.erasure.list import list_persons
from callboard_authsvc.erasure.open import open_personal
from callboard_authsvc.external.bearer import whose_token
from callboard_authsvc.external.dependencies import ExternalDependencies
from callboard_authsvc.journal import Journal
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.members.list import list_members
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.people.dependencies import PeopleDependencies
from callboard_authsvc.people.sessions import whose_session
from callboard_authsvc.projects.list import list_projects
from callboard_authsvc.tokens.dependencies import TokenDependencies
from callboard_authsvc.tokens.list import list_tokens
from callboard_authsvc.tokens.verify import verify_token
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.list import list_secrets
from callboard_authsvc.vault.open import open_secrets
from callboard_authsvc.vault.task_key import task_key


def register_token_asks(bus: Bus, use: TokenDependencies) -> None:
    """Verify, list."""

    async def verify(question: VerifyToken) -> Principal:
        return await verify_token(question, use)

    async def tokens(question: AskTokens) -> Tokens:
        return await list_tokens(question, use)

    register(bus, subjects.VERIFY_TOKEN, verify)
    register(bus, subjects.TOKENS, tokens)


def register_vault_asks(bus: Bus, use: VaultDependencies) -> None:
    """Open, list, derive."""

    async def opened(question: OpenSecrets) -> OpenedSecrets:
        return await open_secrets(question, use)

    async def secrets(question: AskSecrets) -> Secrets:
        return await list_secrets(question, use)

    async def sealing(question: AskTaskKey) -> TaskKey:
        return await task_key(question, use)

    register(bus, subjects.OPEN_SECRETS, opened)
    register(bus, subjects.TASK_KEY, sealing)
    register(bus, subjects.SECRETS, secrets)


def register_erasure_asks(bus: Bus, use: ErasureDependencies) -> None:
    """List, open."""

    async def persons(question: AskPersons) -> Persons:
        return await list_persons(question, use)

    async def opened(question: OpenPersonal) -> OpenedPersonal:
        return await open_personal(question, use)

    register(bus, subjects.PERSONS, persons)
    register(bus, subjects.OPEN_PERSONAL, opened)


def register_anchor_asks(bus: Bus, anchors: Anchors) -> None:
    """Sign."""

    async def sign(question: SignAnchor) -> Anchor:
        return await anchors.sign(question)

    register(bus, subjects.SIGN_ANCHOR, sign)


def register_consumer_asks(bus: Bus, use: ConsumerDependencies) -> None:
    """List."""

    async def consumers(question: AskConsumers) -> Consumers:
        return await list_consumers(question, use)

    register(bus, subjects.CONSUMERS, consumers)


def register_member_asks(bus: Bus, use: MemberDependencies) -> None:
    """List."""

    async def members(question: AskMembers) -> Members:
        return await list_members(question, use)

    register(bus, subjects.MEMBERS, members)


def register_project_asks(bus: Bus, journal: Journal, organisations: KnownOrganisations) -> None:
    """List."""

    async def projects(question: AskProjects) -> Projects:
        return await list_projects(question, journal, organisations)

    register(bus, subjects.PROJECTS, projects)


def register_person_asks(bus: Bus, use: PeopleDependencies) -> None:
    """Whose session it is."""

    async def session(question: AskSession) -> SignedIn:
        return await whose_session(question, use)

    register(bus, subjects.SESSION, session)


def register_external_asks(bus: Bus, use: ExternalDependencies) -> None:
    """Whom a JWT of the identity provider stands for."""

    async def token(question: AskExternal) -> Principal:
        return await whose_token(question, use)

    register(bus, subjects.EXTERNAL, token)
