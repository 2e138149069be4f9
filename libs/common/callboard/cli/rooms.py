"""`callboard run`, `migrate`, `health`, `asyncapi` and `version`: what a container or a script needs."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import sys
import time
from argparse import Namespace
from typing import Final

from callboard import __version__
from callboard.cli.exit_codes import FAILED, OK, UNREACHABLE
from callboard.cli.output import Output
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import CliSettings, settings
from callboard.contracts.status import InstanceStatus

_HEALTH_SECONDS: Final = 2.0


def run(args: Namespace, _out: Output) -> int:
    """`run ROOM`: this process becomes the service, so that signals reach it."""
    os.execv(sys.executable, [sys.executable, "-m", f"callboard_{args.room}"])


def migrate(_args: Namespace, out: Output) -> int:
    """`migrate`: waits for the database at most a minute."""
    dsn = settings().database_url
    if not dsn:
        raise WrongUsage("set CALLBOARD_DATABASE_URL")
    from callboard.local.database import migrate_external

    applied = asyncio.run(migrate_external(dsn, out.talk))
    if out.as_json:
        out.json(applied)
    else:
        out.talk(f"applied {', '.join(applied)}" if applied else "the database is up to date")
    return OK


def health(args: Namespace, out: Output) -> int:
    """`health ROOM`: 0 when the instance of this host is ready, 3 when NATS or the instance does not answer."""
    chosen = settings()
    answers = asyncio.run(_ask_status(args.room, chosen))
    mine = [answer for answer in answers if answer.room == args.room and _is_mine(answer.instance, chosen)]
    if out.as_json:
        out.json(mine)
    if not mine:
        out.talk(f"no {args.room} of this host answers")
        return UNREACHABLE
    ready = all(answer.ready for answer in mine)
    out.talk(f"{args.room} is ready" if ready else f"{args.room} is not ready: {mine[0].problem}")
    return OK if ready else FAILED


def _is_mine(instance: str, chosen: CliSettings) -> bool:
    return instance == chosen.instance if chosen.instance else instance.startswith(f"{socket.gethostname()}-")


async def _silently(_error: Exception) -> None:
    """What goes wrong is told once, by the exit code and one sentence."""


async def _ask_status(room: str, chosen: CliSettings) -> list[InstanceStatus]:
    import msgspec
    import nats
    import nats.errors

    from callboard.client import Unreachable
    from callboard.contracts import subjects
    from callboard.contracts.status import AskStatus

    inbox = f"{subjects.inbox(room)}.health-{os.getpid()}"
    try:
        connection = await nats.connect(
            chosen.nats_url,
            user_credentials=chosen.nats_credentials or None,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            connect_timeout=2,
            error_cb=_silently,
            inbox_prefix=inbox,
            name="callboard health",
        )
    except (OSError, nats.errors.Error, TimeoutError) as error:
        raise Unreachable(f"NATS does not answer: {error}") from None
    answers: list[InstanceStatus] = []
    try:
        replies = await connection.subscribe(f"{inbox}.status")
        await connection.publish(subjects.STATUS, msgspec.json.encode(AskStatus()), reply=f"{inbox}.status")
        deadline = time.monotonic() + _HEALTH_SECONDS
        while not any(a.room == room and _is_mine(a.instance, chosen) for a in answers):
            reply = await replies.next_msg(timeout=max(0.01, deadline - time.monotonic()))
            if reply.data:
                answers.append(msgspec.json.decode(reply.data, type=InstanceStatus))
    except (nats.errors.Error, TimeoutError):
        pass
    finally:
        await connection.close()
    return answers


def asyncapi(_args: Namespace, out: Output) -> int:
    """`asyncapi`: always JSON."""
    from callboard.contracts.asyncapi import document

    out.json(document(__version__))
    return OK


def version(_args: Namespace, out: Output) -> int:
    """`version`."""
    if out.as_json:
        out.json({"callboard": __version__, "python": platform.python_version()})
    else:
        out.text(f"callboard {__version__} (Python {platform.python_version()})")
    return OK
