"""`cb.cmd.policy.*`: set and remove policies, switch servers off and on. What is acknowledged holds here already."""

from __future__ import annotations

import msgspec

from callboard.contracts.policies import PolicyDone, RemovePolicy, SetPolicy, SwitchServer
from callboard.contracts.problems import Problem
from callboard_router.decisions import Decisions, Writes
from callboard_router.policies.domain import MAX_POLICIES, POLICY, PolicyState, switch
from callboard_router.state import Organisation


async def set_policy(command: SetPolicy, decisions: Decisions) -> PolicyDone:
    """Answer with the position in the log; in a dry run, with whether there would be one."""
    if command.dry_run:
        organisation = await decisions.current(command.organisation)
        tried = msgspec.structs.replace(command, comment=command.comment or "dry run")
        return PolicyDone(seq=0, changed=bool(_decided(tried, organisation)))
    return await _commit(command, decisions)


async def remove_policy(command: RemovePolicy, decisions: Decisions) -> PolicyDone:
    """Raises `policy.unknown`."""
    return await _commit(command, decisions)


async def switch_server(command: SwitchServer, decisions: Decisions) -> PolicyDone:
    """Raises `server.unknown`."""
    return await _commit(command, decisions)


def _decided(command: SetPolicy | RemovePolicy | SwitchServer, organisation: Organisation) -> Writes:
    if isinstance(command, SwitchServer):
        registered = organisation.server(command.server).definition is not None
        events = switch(command, organisation.switched_off, registered=registered)
        return {f"switch-{command.server}": events} if events else {}
    known = organisation.policies.get(command.policy)
    if known is None and isinstance(command, SetPolicy) and len(organisation.policies) >= MAX_POLICIES:
        raise Problem("policy.invalid", f"an organisation has at most {MAX_POLICIES} policies")
    decided = POLICY.decide(command, PolicyState(definition=known))
    return {f"policy-{command.policy}": decided} if decided else {}


async def _commit(command: SetPolicy | RemovePolicy | SwitchServer, decisions: Decisions) -> PolicyDone:
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return PolicyDone(seq=before[-1].seq if before else 0, changed=bool(before))
    seq = await decisions.commit(
        command.organisation,
        command.command_id,
        command,
        command.actor,
        command.comment,
        lambda organisation: _decided(command, organisation),
    )
    return PolicyDone(seq=seq, changed=seq > 0)
