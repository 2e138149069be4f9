"""`cb.cmd.playbook.import`: a playbook with its whole history, from a file that another installation exported."""

from __future__ import annotations

from collections.abc import Mapping

from callboard.contracts.definitions import ServerDefinition
from callboard.contracts.events import Event
from callboard.contracts.playbooks import ImportedPlaybook, ImportPlaybook
from callboard.contracts.problems import Problem
from callboard.kernel.definition_rules import all_faults
from callboard.kernel.playbook_export import faults_of
from callboard_router.decisions import Decisions, Writes
from callboard_router.playbooks.domain import PLAYBOOK
from callboard_router.servers.domain import SERVER, DefineServer
from callboard_router.state import Organisation


async def import_playbook(command: ImportPlaybook, decisions: Decisions) -> ImportedPlaybook:
    """All of it or nothing. A server that is registered here under the same name is left as it is."""
    before = await decisions.seen(command.organisation, command.command_id, command)
    if before is not None:
        return _answer(command, (), before[-1].seq if before else 0)
    wrong = faults_of(command.exported)
    if wrong:
        raise Problem("file.invalid", f"this is not what was exported: {wrong[0]}", faults=wrong[:20])
    registered: tuple[str, ...] = ()

    def decide(organisation: Organisation) -> Writes:
        nonlocal registered
        servers = _servers(command, organisation)
        registered = tuple(sorted(name.removeprefix("server-") for name in servers))
        playbook = organisation.playbook(command.playbook)
        return {**servers, f"playbook-{command.playbook}": PLAYBOOK.decide(command, playbook)}

    seq = await decisions.commit(
        command.organisation, command.command_id, command, command.actor, command.comment, decide
    )
    return _answer(command, registered, seq)


def _servers(command: ImportPlaybook, organisation: Organisation) -> Mapping[str, list[Event]]:
    """The events that register what the newest version uses and nobody has registered here."""
    newest = command.exported.versions[-1].content.definition
    missing = [name for name in newest.servers if name not in organisation.registered()]
    if missing and not command.register_servers:
        shown = ", ".join(f"{name} ({_what(command.exported.servers.get(name))})" for name in missing)
        raise Problem(
            "server.unknown",
            f"it uses servers that are not registered here: {shown}; register them first, or let the file do it",
            servers=missing,
        )
    unknown = sorted(set(missing) - command.exported.servers.keys())
    if unknown:
        raise Problem(
            "server.unknown",
            f"the file does not hold server {unknown[0]!r}, and it is not registered here; apply a file with it first",
            servers=unknown,
        )
    wanted = {name: command.exported.servers[name] for name in missing}
    faults = all_faults(wanted, {}, organisation.registered())
    if faults:
        raise Problem("file.invalid", faults[0].message)
    return {
        f"server-{name}": list(
            SERVER.decide(DefineServer(server=name, definition=wanted[name]), organisation.server(name))
        )
        for name in missing
    }


def _what(server: ServerDefinition | None) -> str:
    """What registering it would connect to or start."""
    if server is None:
        return "not in the file"
    return server.url or " ".join(server.command or ())


def _answer(command: ImportPlaybook, registered: tuple[str, ...], seq: int) -> ImportedPlaybook:
    return ImportedPlaybook(
        playbook=command.playbook, version=len(command.exported.versions), registered=registered, seq=seq
    )
