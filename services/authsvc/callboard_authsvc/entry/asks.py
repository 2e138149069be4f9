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
from callboard.contracts.people import (
    AskExternal,
    AskMembers,
    AskProjects,
    AskSession,
    AskWaysIn,
    Members,
    Projects,
    SignedIn,
    WaysIn,
)
from callboard.contracts.personal import AskPersons, OpenedPersonal, OpenPersonal, Persons
from callboard.contracts.playbooks import Done
from callboard.contracts.upstream_sign_in import (
    AskSignIn,
    AskSignIns,
    AskUpstreamToken,
    BeginSignIn,
    FinishSignIn,
    OpenSignIn,
    SignInBegun,
    SignInFinished,
    SignInLink,
    SignIns,
    UpstreamSignIn,
    UpstreamSignOut,
    UpstreamToken,
)
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
from callboard_authsvc.upstream_oauth.begin import begin_sign_in, show_sign_in
from callboard_authsvc.upstream_oauth.finish import finish_sign_in
from callboard_authsvc.upstream_oauth.link import open_sign_in
from callboard_authsvc.upstream_oauth.list import list_sign_ins
from callboard_authsvc.upstream_oauth.ports import SignInDependencies
from callboard_authsvc.upstream_oauth.sign_out import sign_out
from callboard_authsvc.upstream_oauth.usable import usable_token
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


def register_sign_in(bus: Bus, use: SignInDependencies) -> None:
    """All of signing in to upstreams: tokens for connectors, links for people, and the way of a browser."""

    async def token(question: AskUpstreamToken) -> UpstreamToken:
        return await usable_token(question, use)

    async def link(command: OpenSignIn) -> SignInLink:
        return await open_sign_in(command, use)

    async def shown(question: AskSignIn) -> UpstreamSignIn:
        return await show_sign_in(question, use)

    async def begun(command: BeginSignIn) -> SignInBegun:
        return await begin_sign_in(command, use)

    async def finished(command: FinishSignIn) -> SignInFinished:
        return await finish_sign_in(command, use)

    async def sign_ins(question: AskSignIns) -> SignIns:
        return await list_sign_ins(question, use)

    async def out(command: UpstreamSignOut) -> Done:
        return await sign_out(command, use)

    # Many may wait for one renewal.
    register(bus, subjects.UPSTREAM_TOKEN, token, workers=256)
    register(bus, subjects.OPEN_SIGN_IN, link)
    register(bus, subjects.UPSTREAM_SIGN_IN, shown)
    register(bus, subjects.BEGIN_SIGN_IN, begun)
    register(bus, subjects.FINISH_SIGN_IN, finished)
    register(bus, subjects.SIGN_INS, sign_ins)
    register(bus, subjects.UPSTREAM_SIGN_OUT, out)


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
    """Whether there is an identity provider, and whom its JWTs stand for."""

    async def token(question: AskExternal) -> Principal:
        return await whose_token(question, use)

    async def ways_in(_question: AskWaysIn) -> WaysIn:
        return WaysIn(external=use.provider is not None)

    register(bus, subjects.EXTERNAL, token)
    register(bus, subjects.WAYS_IN, ways_in)
