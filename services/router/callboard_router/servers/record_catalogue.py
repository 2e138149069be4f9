"""`cb.cmd.server.record_catalogue`: a connector saw what a server offers; written when it is something else."""

from __future__ import annotations

from callboard.contracts.playbooks import Done, RecordCatalogue
from callboard_router.decisions import Decisions, Writes
from callboard_router.servers.domain import SERVER
from callboard_router.state import Organisation


async def record_catalogue(command: RecordCatalogue, decisions: Decisions) -> Done:
    """Answer with the log position, 0 when it was known."""

    def decide(organisation: Organisation) -> Writes:
        server = organisation.server(command.server)
        return {f"server-{command.server}": SERVER.decide(command, server)}

    seq = await decisions.commit(
        command.organisation, command.command_id, command, command.producer, "discovered", decide, remember=False
    )
    return Done(seq=seq)
