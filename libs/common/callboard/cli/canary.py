"""`callboard playbook canary`: try a version on a share of the callers."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime

from callboard.cli.exit_codes import OK
from callboard.cli.moments import moment_to_come
from callboard.cli.output import Output, moment
from callboard.cli.pins import version_of
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect, reference_of
from callboard.client import Callboard
from callboard.contracts.assignments import CanaryLine
from callboard.contracts.playbooks import Done


def canary(args: Namespace, out: Output) -> int:
    """`playbook canary NAME @N --percent P --until TIME --rollback-if CONDITION`, or `--stop`, or `--promote`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        if args.stop or args.promote:
            if args.version is not None:
                raise WrongUsage("--stop and --promote are about the canary that runs: name no version")
            end = callboard.stop_canary if args.stop else callboard.promote_canary
            done = end(organisation, name, args.message)
            said = "serves everybody its current version" if args.stop else "has what was tried as its next version"
        else:
            done, said = _start(args, callboard, organisation, name)
    if out.as_json:
        out.json(done)
    out.talk(f"{organisation}/{name} {said}")
    return OK


def _start(args: Namespace, callboard: Callboard, organisation: str, name: str) -> tuple[Done, str]:
    if args.version is None or args.percent is None or args.until is None or args.rollback_if is None:
        raise WrongUsage("give @N, --percent, --until and --rollback-if; or --stop or --promote")
    until = moment_to_come(args.until, datetime.now().astimezone())
    done = callboard.start_canary(
        organisation,
        name,
        version_of(args.version),
        args.message,
        percent=args.percent,
        until=until,
        condition=args.rollback_if,
        min_calls=args.min_calls,
    )
    return done, f"serves version {args.version.removeprefix('@')} to {args.percent:g} % until {moment(until)}"


def shown(canary: CanaryLine) -> str:
    """A running canary in one line."""
    ends = f"until {moment(canary.until)} or {canary.condition} in {canary.min_calls} calls or more"
    return f"@{canary.version} for {canary.percent:g} % {ends}"
