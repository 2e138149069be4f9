"""`callboard up`."""

from __future__ import annotations

import asyncio
import os
from argparse import Namespace

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.refusals import Refused, WrongUsage
from callboard.cli.target import DEFAULT_DATA_DIR
from callboard.contracts.subjects import ROOMS
from callboard.local import errands
from callboard.local.furnished import Furnished, FurnishOrder
from callboard.local.up import Installation, Options
from callboard.local.welcome import welcome

_MOST_REPLICAS = 64


def up(args: Namespace, out: Output) -> int:
    """`up`: progress on stderr, then one screen (or one JSON document) on stdout; runs until Ctrl-C."""
    options = Options(
        data_dir=args.data_dir or DEFAULT_DATA_DIR,
        host=args.host,
        port=args.port,
        replicas=replicas_of(args.replicas),
        file=_file(args.file),
        nats_url=args.nats_url,
        nats_credentials=args.nats_credentials,
        database_url=args.database_url,
        demo=not args.no_demo,
        environ={**os.environ, **_collector(args.otlp, args.trace_share)},
    )
    if not 1 <= options.port <= 65536 - options.count("edge"):
        raise WrongUsage("--port is a number from 1 to 65535, and each further edge takes the next one")
    installation = Installation(options, out.talk, _furnish, lambda f, s: _print(f, s, options, installation, out))
    out.talk(f"starting Callboard in {installation.directory.path}")
    try:
        asyncio.run(installation.run())
    except errands.ErrandFailed as failed:
        return failed.code
    except TimeoutError:
        raise Refused(f"not ready in time; look into {installation.directory.logs}") from None
    return OK


def replicas_of(text: str) -> dict[str, int]:
    """Room > number of processes, from `2`, `connectors=3` or `2,connectors=3`; raises `WrongUsage`."""
    everywhere, named = 1, dict[str, int]()
    for place, part in enumerate(text.split(",")):
        room, equals, number = (word.strip() for word in part.rpartition("="))
        if not number.isdecimal() or not 1 <= int(number[:6]) <= _MOST_REPLICAS:
            raise WrongUsage(f"--replicas {text!r}: {number!r} is not a number from 1 to {_MOST_REPLICAS}")
        if not equals and place:
            raise WrongUsage(f"--replicas {text!r}: after the first number write SERVICE=N")
        if equals and (room not in ROOMS or room in named):
            fault = "is named twice" if room in named else f"is not one of {', '.join(ROOMS)}"
            raise WrongUsage(f"--replicas {text!r}: {room!r} {fault}")
        if equals:
            named[room] = int(number)
        else:
            everywhere = int(number)
    return dict.fromkeys(ROOMS, everywhere) | named


async def _furnish(order: FurnishOrder) -> Furnished:
    return await errands.send("callboard.cli.furnish", order, Furnished)


def _collector(endpoint: str | None, share: float | None) -> dict[str, str]:
    """The settings of every service for traces; raises `WrongUsage`."""
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise WrongUsage(f"--otlp {endpoint!r}: name the collector's OTLP/HTTP address, like http://127.0.0.1:4318")
    if share is not None and not 0 <= share <= 1:
        raise WrongUsage(f"--trace-share {share:g}: a number from 0 to 1")
    named = {"CALLBOARD_OTLP_ENDPOINT": endpoint, "CALLBOARD_TRACE_SHARE": share}
    return {name: str(value) for name, value in named.items() if value is not None}


def _file(name: str | None) -> tuple[str, str] | None:
    if name is None:
        return None
    # Refused before anything is started.
    from callboard.cli.apply import read_file
    from callboard.kernel.playbook_file import parse

    shown, text = read_file(name)
    parse(text, shown)
    return shown, text


def _print(furnished: Furnished, seconds: float, options: Options, installation: Installation, out: Output) -> None:
    if out.as_json:
        endpoint = f"{options.url}/p/{furnished.organisation}/{furnished.playbook}/mcp"
        told = {"url": options.url, "mcp_url": endpoint if furnished.playbook else "", "token": furnished.token}
        out.json_line({**told, "seconds": round(seconds, 2), "logs": str(installation.directory.logs)})
    else:
        out.text(welcome(options.url, installation.directory.logs, options.data_dir, furnished, seconds))
