"""`callboard playbook export` and `callboard playbook import`."""

from __future__ import annotations

import sys
from argparse import Namespace

import msgspec

from callboard.cli.apply import read_file
from callboard.cli.audit import new_file
from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect, organisation_of, reference_of
from callboard.contracts.playbooks import ExportedPlaybook
from callboard.kernel.playbook_export import faults_of


def export(args: Namespace, out: Output) -> int:
    """`playbook export NAME [--out FILE]`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        found = callboard.export_playbook(organisation, name)
    with new_file(args.out) as file:
        file.write(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    out.talk(f"exported {organisation}/{name} with {len(found.versions)} versions")
    return OK


def bring_in(args: Namespace, out: Output) -> int:
    """`playbook import FILE -m WHY [--name NAME] [--register-servers]`."""
    shown, text = read_file(args.file)
    try:
        exported = msgspec.json.decode(text, type=ExportedPlaybook)
    except msgspec.DecodeError as error:
        raise WrongUsage(f"{shown} is no exported playbook: {error}") from None
    faults = faults_of(exported)
    if faults:
        for fault in faults:
            print(f"{shown}: {fault}", file=sys.stderr)
        raise WrongUsage("this is not what was exported; nothing was imported")
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        name = args.name or exported.playbook
        register = bool(args.register_servers)
        done = callboard.import_playbook(organisation, name, exported, args.message, register_servers=register)
    if out.as_json:
        out.json(done)
    out.talk(f"{organisation}/{done.playbook}: version {done.version} of {exported.organisation}/{exported.playbook}")
    for server in done.registered:
        out.talk(f"registered server {server}")
    return OK
