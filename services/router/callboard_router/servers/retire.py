"""`cb.cmd.server.retire`: forget a server that no playbook uses."""

from __future__ import annotations

from callboard.contracts.playbooks import Done, RetireServer
from callboard.contracts.problems import Problem
from callboard_router.decisions import Decisions, Writes
from callboard_router.servers.domain import SERVER
from callboard_router.state import Organisation


async def retire(command: RetireServer, decisions: Decisions) -> Done:
    """Answer with the log position."""
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return Done(seq=before[-1].seq if before else 0)

    def decide(organisation: Organisation) -> Writes:
        users = organisation.users_of(command.server)
        if users:
            listed = ", ".join(sorted(users))
            raise Problem("server.in_use", f"server {command.server!r} is used by {listed}", playbooks=users)
        return {f"server-{command.server}": SERVER.decide(command, organisation.server(command.server))}

    seq = await decisions.commit(
        command.organisation, command.command_id, command, command.actor, command.comment, decide
    )
    return Done(seq=seq)
