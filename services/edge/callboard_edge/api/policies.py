"""Policies: who may use what of which playbooks, with which arguments, when, and how often."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import delete, get, post, put

from callboard.contracts import policy_subjects
from callboard.contracts.policies import (
    AskPolicies,
    AskPolicy,
    AskPolicyExplanation,
    Attempt,
    NewPolicy,
    Policies,
    PolicyDone,
    PolicyExplanation,
    PolicyRehearsal,
    PolicyRehearsed,
    RemovePolicy,
    SetPolicy,
    ShownPolicy,
    Switch,
    SwitchServer,
)
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller, Stamp
from callboard_edge.api.names import Names
from callboard_edge.policies.callers import sealed
from callboard_edge.policies.rehearse import Askers, rehearse

_ALL: Final = "/organisations/{organisation:str}/policies"
_ONE: Final = _ALL + "/{policy:str}"
_SWITCH: Final = "/organisations/{organisation:str}/servers/{server:str}/switch"


@get(_ALL, summary="List policies")
async def list_policies(bus: Bus, caller: Caller, organisation: str) -> Policies:
    """All that hold, and the servers that are switched off."""
    caller.require("read", organisation)
    return await bus.ask(policy_subjects.POLICIES, AskPolicies(organisation=organisation), Policies)


@get(_ONE, summary="A policy and its history")
async def show_policy(bus: Bus, caller: Caller, organisation: str, policy: str) -> ShownPolicy:
    """Who changed it, when and why; also of one that was removed."""
    caller.require("read", organisation)
    return await bus.ask(policy_subjects.POLICY, AskPolicy(organisation=organisation, policy=policy), ShownPolicy)


@put(_ONE, summary="Set a policy", status_code=200)
async def set_policy(
    bus: Bus, caller: Caller, stamp: Stamp, names: Names, organisation: str, policy: str, data: NewPolicy
) -> PolicyDone:
    """It holds from the answer on, at every edge within two seconds. It can only take away."""
    caller.require("govern", organisation)
    command = SetPolicy(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        policy=policy,
        definition=await sealed(bus, names, organisation, data.definition),
        comment=data.comment,
        actor=caller.actor,
        dry_run=data.dry_run,
    )
    return await bus.ask(policy_subjects.SET_POLICY, command, PolicyDone)


@delete(_ONE, summary="Remove a policy", status_code=200)
async def remove_policy(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, policy: str, comment: str
) -> PolicyDone:
    """What it took away is there again, as far as other policies let it."""
    caller.require("govern", organisation)
    command = RemovePolicy(
        command_id=stamp.command_id(),
        organisation=organisation,
        policy=policy,
        comment=comment,
        actor=caller.actor,
    )
    return await bus.ask(policy_subjects.REMOVE_POLICY, command, PolicyDone)


@put(_SWITCH, summary="Switch a server off or on", status_code=200)
async def switch_server(
    bus: Bus, caller: Caller, stamp: Stamp, organisation: str, server: str, data: Switch
) -> PolicyDone:
    """Off: everything of it is there for nobody in the organisation, whatever playbooks say."""
    caller.require("server:manage", organisation)
    command = SwitchServer(
        command_id=stamp.command_id(data.command_id),
        organisation=organisation,
        server=server,
        on=data.on,
        comment=data.comment,
        actor=caller.actor,
    )
    return await bus.ask(policy_subjects.SWITCH_SERVER, command, PolicyDone)


@post(_ALL + "/explain", summary="Why somebody may or may not", status_code=200)
async def explain_policy(bus: Bus, caller: Caller, names: Names, organisation: str, data: Attempt) -> PolicyExplanation:
    """Every layer's verdict; nothing is called and nothing counted."""
    caller.require("read", organisation, data.playbook)
    attempt = await Askers(bus, names, organisation).attempt(data)
    question = AskPolicyExplanation(organisation=organisation, attempt=attempt)
    return await bus.ask(policy_subjects.EXPLAIN_POLICY, question, PolicyExplanation)


@post(_ALL + "/test", summary="Try policies without setting them", status_code=200)
async def try_policies(
    bus: Bus, caller: Caller, names: Names, organisation: str, data: PolicyRehearsal
) -> PolicyRehearsed:
    """Against expectations, and against the recorded calls of the last days: what would be denied that was allowed."""
    caller.require("read", organisation)
    if data.days:
        caller.require("call:read", organisation)
    policies = {name: await sealed(bus, names, organisation, one) for name, one in data.policies.items()}
    return await rehearse(bus, names, organisation, msgspec.structs.replace(data, policies=policies))


ROUTES = [list_policies, show_policy, set_policy, remove_policy, switch_server, explain_policy, try_policies]
