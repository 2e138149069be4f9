"""`cb.cmd.*` of the router: one handler per command, each a single call."""

from __future__ import annotations

from datetime import UTC, datetime

from callboard.contracts import subjects
from callboard.contracts.assignments import EndCanary, PinClient, PromoteCanary, StartCanary, UnpinClient
from callboard.contracts.drift import ApproveDrift, AskDrift, DriftDecided, HeldThings, RejectDrift
from callboard.contracts.playbooks import (
    Applied,
    ApplyOrganisation,
    Done,
    ImportedPlaybook,
    ImportPlaybook,
    RecordCatalogue,
    RetirePlaybook,
    RetireServer,
    RollBackPlaybook,
    RolledBack,
)
from callboard.platform.bus import Bus, register
from callboard_router.decisions import Decisions
from callboard_router.playbooks import canary as playbook_canary
from callboard_router.playbooks import decide_drift, drift_report
from callboard_router.playbooks import import_playbook as playbook_import
from callboard_router.playbooks import pin as playbook_pin
from callboard_router.playbooks import retire as playbook_retire
from callboard_router.playbooks.apply import Apply
from callboard_router.playbooks.inquiries import Inquiries
from callboard_router.playbooks.roll_back import RollBack
from callboard_router.servers import record_catalogue as server_record_catalogue
from callboard_router.servers import retire as server_retire


def register_commands(bus: Bus, decisions: Decisions, inquiries: Inquiries) -> None:
    """Subscribe every command of the room."""
    apply = Apply(decisions, inquiries)
    rollback = RollBack(decisions, inquiries)

    async def apply_organisation(command: ApplyOrganisation) -> Applied:
        return await apply.apply(command)

    async def roll_back_playbook(command: RollBackPlaybook) -> RolledBack:
        return await rollback.roll_back(command)

    async def import_playbook(command: ImportPlaybook) -> ImportedPlaybook:
        return await playbook_import.import_playbook(command, decisions)

    async def retire_playbook(command: RetirePlaybook) -> Done:
        return await playbook_retire.retire(command, decisions)

    async def retire_server(command: RetireServer) -> Done:
        return await server_retire.retire(command, decisions)

    async def record_catalogue(command: RecordCatalogue) -> Done:
        return await server_record_catalogue.record_catalogue(command, decisions)

    register(bus, subjects.APPLY, apply_organisation)
    register(bus, subjects.ROLL_BACK, roll_back_playbook)
    register(bus, subjects.IMPORT_PLAYBOOK, import_playbook)
    register(bus, subjects.RETIRE_PLAYBOOK, retire_playbook)
    register(bus, subjects.RETIRE_SERVER, retire_server)
    register(bus, subjects.RECORD_CATALOGUE, record_catalogue)


def register_assignments(bus: Bus, decisions: Decisions) -> None:
    """Subscribe what decides who is served which version."""

    async def pin_client(command: PinClient) -> Done:
        return await playbook_pin.pin(command, decisions)

    async def unpin_client(command: UnpinClient) -> Done:
        return await playbook_pin.pin(command, decisions)

    async def start_canary(command: StartCanary) -> Done:
        return await playbook_canary.start(command, decisions, datetime.now(UTC))

    async def promote_canary(command: PromoteCanary) -> Done:
        return await playbook_canary.end(command, decisions)

    async def end_canary(command: EndCanary) -> Done:
        return await playbook_canary.end(command, decisions)

    register(bus, subjects.PIN_CLIENT, pin_client)
    register(bus, subjects.UNPIN_CLIENT, unpin_client)
    register(bus, subjects.START_CANARY, start_canary)
    register(bus, subjects.PROMOTE_CANARY, promote_canary)
    register(bus, subjects.END_CANARY, end_canary)


def register_drift(bus: Bus, decisions: Decisions, inquiries: Inquiries) -> None:
    """Subscribe what is asked and decided about drift."""

    async def approve_drift(command: ApproveDrift) -> DriftDecided:
        return await decide_drift.approve(command, decisions)

    async def reject_drift(command: RejectDrift) -> DriftDecided:
        return await decide_drift.reject(command, decisions)

    async def drift(question: AskDrift) -> HeldThings:
        return await drift_report.report(question, decisions, inquiries)

    register(bus, subjects.APPROVE_DRIFT, approve_drift)
    register(bus, subjects.REJECT_DRIFT, reject_drift)
    register(bus, subjects.DRIFT, drift)
