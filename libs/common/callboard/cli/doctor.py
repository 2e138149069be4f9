"""`callboard doctor`: looks at what commonly goes wrong, and says for each what to do."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import stat
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from callboard import __version__
from callboard.cli.exit_codes import NOT_AS_EXPECTED, OK
from callboard.cli.output import Output
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import DEFAULT_DATA_DIR, connect
from callboard.contracts.problems import Problem
from callboard.contracts.subjects import ROOMS
from callboard.local.data_dir import ADMIN_ENV
from callboard.local.nats_server import nats_server_binary
from callboard.local.postgres_server import postgres_binaries
from callboard.local.process import LocalServerError
from callboard.local.supervise import read_run_state

_FREE_BYTES: Final = 500 * 1024 * 1024
_CLOCK_SECONDS: Final = 60.0
_MARK: Final = {"ok": "ok  ", "warning": "warn", "bad": "BAD "}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: how it is, and what to do when it is not good."""

    check: str
    state: Literal["ok", "warning", "bad"]
    detail: str
    advice: str = ""


def doctor(args: Namespace, out: Output) -> int:
    """Exit code 4 when something is bad."""
    findings = [finding for check in _CHECKS for finding in check(args)]
    if out.as_json:
        out.json(findings)
    else:
        for finding in findings:
            out.text(f"{_MARK[finding.state]}  {finding.check}: {finding.detail}")
            if finding.advice:
                out.text(f"      {finding.advice}")
    return NOT_AS_EXPECTED if any(finding.state == "bad" for finding in findings) else OK


def _good(check: str, detail: str) -> Finding:
    return Finding(check=check, state="ok", detail=detail)


def _bad(check: str, detail: str, advice: str) -> Finding:
    return Finding(check=check, state="bad", detail=detail, advice=advice)


def _warning(check: str, detail: str, advice: str) -> Finding:
    return Finding(check=check, state="warning", detail=detail, advice=advice)


def _directory(args: Namespace) -> Path:
    return Path(args.data_dir or DEFAULT_DATA_DIR)


def _python(_args: Namespace) -> Iterator[Finding]:
    yield _good("python", f"{platform.python_version()} at {sys.executable}")


def _binaries(_args: Namespace) -> Iterator[Finding]:
    finders: dict[str, Callable[[], Path]] = {"nats-server": nats_server_binary, "postgres": postgres_binaries}
    for name, find in finders.items():
        try:
            yield _good(name, str(find()))
        except LocalServerError as error:
            yield _warning(name, "not installed", f"{error}.")
    if shutil.which("git") is None:
        yield _warning("git", "not installed", "Only the demo's git server needs it.")


def _data_directory(args: Namespace) -> Iterator[Finding]:
    directory = _directory(args)
    if not directory.exists():
        yield _warning("data directory", f"{directory} does not exist yet", "`callboard up` makes it.")
        return
    exposed = [path for path in (directory, *_private_files(directory)) if _others_can_use(path)]
    if directory.stat().st_uid != os.geteuid():
        yield _bad("data directory", f"{directory} belongs to another user", "Use --data-dir with one of your own.")
    elif exposed:
        names = " ".join(str(path) for path in exposed)
        yield _bad("data directory", f"others can use {names}", f"chmod -R go-rwx {directory}")
    else:
        yield _good("data directory", f"{directory.absolute()}, for this user only")


def _private_files(directory: Path) -> Iterator[Path]:
    yield from (path for path in (directory / ADMIN_ENV, directory / "keys") if path.exists())
    yield from (path for path in (directory / "keys").rglob("*") if path.is_file())


def _others_can_use(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _disk(args: Namespace) -> Iterator[Finding]:
    directory = _directory(args).absolute()
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free / 1024**3:.1f} GiB free at {existing}"
    if free < _FREE_BYTES:
        yield _bad("disk", text, "Postgres and NATS stop when the disk is full: make room.")
    else:
        yield _good("disk", text)


def _clock(args: Namespace) -> Iterator[Finding]:
    written = _directory(args) / ADMIN_ENV
    ahead = written.stat().st_mtime - time.time() if written.exists() else 0.0
    if ahead > _CLOCK_SECONDS:
        yield _bad(
            "clock", f"{written} was written {ahead:.0f} s in the future", "Set the clock; events carry its time."
        )
    else:
        yield _good("clock", time.strftime("%Y-%m-%d %H:%M:%S %Z"))


def _port(args: Namespace) -> Iterator[Finding]:
    running = read_run_state(_directory(args))
    taken = _listens("127.0.0.1", args.port)
    if running is not None:
        yield _good("supervisor", f"`callboard up` runs as process {running.supervisor}")
        for name, child in running.children.items():
            if child.restarts:
                log = _directory(args) / "logs" / f"{name}.log"
                yield _warning("supervisor", f"{name} was restarted {child.restarts} times", f"Look into {log}.")
    elif taken:
        yield _warning("port", f"{args.port} is in use", "`callboard up --port N` takes another one.")
    else:
        yield _good("port", f"{args.port} is free")


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _servers(args: Namespace) -> Iterator[Finding]:
    directory = _directory(args).absolute()
    if read_run_state(directory) is None:
        return
    port = directory / "nats" / "port"
    if port.exists():
        up = _listens("127.0.0.1", int(port.read_text()))
        yield (
            _good("nats", "answers") if up else _bad("nats", "does not answer", f"Look into {directory}/logs/nats.log.")
        )
    if (directory / "postgres" / "data").exists():
        from callboard.local.postgres_server import EmbeddedPostgres

        up = EmbeddedPostgres(directory / "postgres").is_ready()
        log = directory / "logs" / "postgres.log"
        yield _good("postgres", "answers") if up else _bad("postgres", "does not answer", f"Look into {log}.")


def _services(args: Namespace) -> Iterator[Finding]:
    from callboard.client import Unreachable

    try:
        with connect(args) as callboard:
            url, found = callboard.url, callboard.status().instances
    except WrongUsage as error:
        yield _warning("services", "not looked at", f"{error}.")
        return
    except Unreachable as error:
        yield _bad("services", str(error), "`callboard up` starts everything.")
        return
    except Problem as problem:
        yield _bad("services", f"{problem.message} ({problem.code})", problem.hint)
        return
    yield _good("edge", f"answers at {url}")
    for room in ROOMS:
        ready = [i for i in found if i.room == room and i.ready]
        advice = f"Look into its log; `callboard run {room}` starts one in the foreground."
        yield _good(room, f"{len(ready)} ready") if ready else _bad(room, "none is ready", advice)
    others = sorted({i.version for i in found} - {__version__})
    if others:
        yield _warning("versions", f"this is {__version__}, there are {', '.join(others)}", "Restart what is older.")
    for server in (s for i in found for s in i.servers if s.problem):
        yield _warning(f"server {server.organisation}/{server.server}", server.state, server.problem)


_CHECKS: Final = (_python, _binaries, _data_directory, _disk, _clock, _port, _servers, _services)
