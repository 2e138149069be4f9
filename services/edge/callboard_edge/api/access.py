"""Client tokens, secrets and analytics consumers of an organisation."""

from __future__ import annotations

from litestar import delete, get, post, put

from callboard.contracts import subjects
from callboard.contracts.access import (
    AdmitConsumer,
    AskConsumers,
    AskSecrets,
    AskTokens,
    ConsumerAdmission,
    Consumers,
    DestroySecret,
    DismissConsumer,
    IssueToken,
    RevokeToken,
    RotateToken,
    Secrets,
    StoreSecret,
    TokenIssued,
    Tokens,
)
from callboard.contracts.management import NewConsumer, NewToken, SecretValue
from callboard.contracts.people_management import Rotation
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp
from callboard_edge.policies.callers import refuse_unheld

_TOKENS = "/organisations/{organisation:str}/tokens"
_SECRETS = "/organisations/{organisation:str}/secrets"
_CONSUMERS = "/organisations/{organisation:str}/consumers"
_NOT_STORED = {"Cache-Control": "no-store"}


@get(_TOKENS, summary="List tokens")
async def list_tokens(bus: Bus, caller: Caller, organisation: str) -> Tokens:
    """Without their values."""
    caller.require("read", organisation)
    return await bus.ask(subjects.TOKENS, AskTokens(organisation=organisation), Tokens)


@post(_TOKENS, summary="Issue a token", response_headers=_NOT_STORED)
async def issue_token(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, data: NewToken) -> TokenIssued:
    """The only time the value is shown."""
    _require_hold(caller, organisation)
    if data.person:
        await refuse_unheld(bus, organisation, data.client)
    command = IssueToken(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        client=data.client,
        scopes=data.scopes,
        playbooks=data.playbooks,
        expires_in_seconds=data.expires_in_seconds,
        person=data.person,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.ISSUE_TOKEN, command, TokenIssued)


@post(_TOKENS + "/{key_id:str}/rotate", summary="Replace a token", response_headers=_NOT_STORED)
async def rotate_token(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, key_id: str, data: Rotation
) -> TokenIssued:
    """Another one that allows the same; the old one works for `overlap_seconds` more."""
    _require_hold(caller, organisation)
    command = RotateToken(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        key_id=key_id,
        overlap_seconds=data.overlap_seconds,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.ROTATE_TOKEN, command, TokenIssued)


def _require_hold(caller: Caller, organisation: str) -> None:
    """Members may deal with their own tokens; which those are, and what they may allow, is for authsvc to say."""
    member_here = caller.principal.member and organisation in (caller.principal.grants or {})
    caller.require("use" if member_here else "token:manage", organisation)


@delete(_TOKENS + "/{key_id:str}", summary="Revoke a token", status_code=200)
async def revoke_token(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, key_id: str, comment: str = ""
) -> Done:
    """Refused from now on, on every edge."""
    _require_hold(caller, organisation)
    command = RevokeToken(
        command_id=stamp.command_id(),
        organisation=organisation,
        key_id=key_id,
        comment=comment,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.REVOKE_TOKEN, command, Done)


@get(_SECRETS, summary="List secrets")
async def list_secrets(bus: Bus, caller: Caller, organisation: str) -> Secrets:
    """Names and versions; no request shows a value."""
    caller.require("read", organisation)
    return await bus.ask(subjects.SECRETS, AskSecrets(organisation=organisation), Secrets)


@put(_SECRETS + "/{name:str}", summary="Store a secret")
async def store_secret(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str, data: SecretValue) -> Done:
    """The newest version is the one used."""
    caller.require("secret:manage", organisation)
    command = StoreSecret(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        secret=name,
        value=data.value,
        actor=caller.actor,
    )
    return await bus.ask(subjects.STORE_SECRET, command, Done)


@delete(_SECRETS + "/{name:str}", summary="Destroy a secret", status_code=200)
async def destroy_secret(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str) -> Done:
    """All its versions."""
    caller.require("secret:manage", organisation)
    command = DestroySecret(command_id=stamp.command_id(), organisation=organisation, secret=name, actor=caller.actor)
    return await bus.ask(subjects.DESTROY_SECRET, command, Done)


@get(_CONSUMERS, summary="List analytics consumers")
async def list_consumers(bus: Bus, caller: Caller, organisation: str) -> Consumers:
    """Those that may read the bus."""
    caller.require("read", organisation)
    return await bus.ask(subjects.CONSUMERS, AskConsumers(organisation=organisation), Consumers)


@post(_CONSUMERS, summary="Admit an analytics consumer", response_headers=_NOT_STORED)
async def admit_consumer(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, data: NewConsumer
) -> ConsumerAdmission:
    """The only time the credentials are shown."""
    caller.require("consumer:manage", organisation)
    command = AdmitConsumer(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        consumer=data.consumer,
        actor=caller.actor,
        by=caller.by,
    )
    return await bus.ask(subjects.ADMIT_CONSUMER, command, ConsumerAdmission, within=20.0)


@delete(_CONSUMERS + "/{name:str}", summary="Dismiss an analytics consumer", status_code=200)
async def dismiss_consumer(bus: Bus, caller: Caller, stamp: Stamp, organisation: str, name: str) -> Done:
    """Its credentials are refused from now on."""
    caller.require("consumer:manage", organisation)
    command = DismissConsumer(
        command_id=stamp.command_id(), organisation=organisation, consumer=name, actor=caller.actor
    )
    return await bus.ask(subjects.DISMISS_CONSUMER, command, Done, within=20.0)


ROUTES = [
    list_tokens,
    issue_token,
    rotate_token,
    revoke_token,
    list_secrets,
    store_secret,
    destroy_secret,
    list_consumers,
    admit_consumer,
    dismiss_consumer,
]
