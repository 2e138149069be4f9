"""`callboard up`: NATS, Postgres and every room on this machine, as one supervised tree.

Above: the CLI, tests. Below: `supervise` keeps the processes, `rooms` describes them, `furnish` speaks to the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from callboard.contracts.subjects import ROOMS
from callboard.local.data_dir import DataDirectory
from callboard.local.database import EmbeddedDatabase, migrate_external
from callboard.local.furnished import Furnished, FurnishOrder
from callboard.local.identities import write_room_credentials
from callboard.local.leftovers import end_leftovers
from callboard.local.nats_server import EmbeddedNats
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.local.process import Child, LocalServerError, kill_tree, log_tail, wait_until
from callboard.local.rooms import Wiring, dialled, http_get, room_children
from callboard.local.supervise import Event, Exited, NotStarted, Ready, Restarting, Supervisor

READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 4.0
_POLL_SECONDS: Final = 0.05
_CRASHES_BEFORE_GIVING_UP: Final = 4
Say = Callable[[str], None]
Furnish = Callable[[FurnishOrder], Awaitable[Furnished]]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to start. `file` is name and text of a Callboard file without faults; `environ` the user's environment.

    `replicas`: how many processes of each room; one of those that it does not name.
    """

    data_dir: str = ".callboard"
    host: str = "127.0.0.1"
    port: int = 8700
    replicas: Mapping[str, int] = {}
    file: tuple[str, str] | None = None
    nats_url: str | None = None
    nats_credentials: str | None = None
    database_url: str | None = None
    demo: bool = True
    environ: Mapping[str, str] = {}

    def count(self, room: str) -> int:
        """How many processes of a room."""
        return self.replicas.get(room, 1)

    @property
    def url(self) -> str:
        """Where this machine reaches the first edge."""
        host = dialled(self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class Installation:
    """One run of everything. `furnish` is called when all answer, `ready` once with what there is to connect to."""

    def __init__(self, options: Options, say: Say, furnish: Furnish, ready: Callable[[Furnished, float], None]) -> None:
        self._options = options
        self._say = say
        self._furnish = furnish
        self._announce = ready
        self._began = time.monotonic()
        self._directory = DataDirectory(Path(options.data_dir))
        self._database: EmbeddedDatabase | None = None
        self._supervisor: Supervisor | None = None
        self._crashes: dict[str, int] = {}
        self._is_ready = False
        self._stopping = False

    @property
    def directory(self) -> DataDirectory:
        """Where it keeps everything."""
        return self._directory

    async def run(self) -> None:
        """Start, announce, and stay until SIGINT, SIGTERM or SIGHUP; raises `LocalServerError` when it cannot start."""
        with self._directory.locked():
            ended = end_leftovers(self._directory.run, self._directory.keys)
            if ended:
                self._say(f"ended what an earlier run left: {', '.join(ended)}")
            self._ports_must_be_free(patient=bool(ended))
            stop = self._stop_on_signals()
            children = await self._children()
            self._supervisor = Supervisor(
                children, self._directory.path, on_event=self._on_event, stop_within=_STOP_SECONDS
            )
            await self._supervisor.start()
            try:
                await _first(self._start_up(), stop.wait())
                await stop.wait()
            finally:
                self._stopping = True
                self._say("stopping")
                await self._supervisor.stop()
                self._say("stopped")

    async def _start_up(self) -> None:
        async with asyncio.timeout(READY_SECONDS):
            while not await self._everybody_answers():
                self._give_up_on_crashes()
                await asyncio.sleep(_POLL_SECONDS)
        furnished = await self._furnished()
        self._is_ready = True
        self._announce(furnished, time.monotonic() - self._began)

    async def _everybody_answers(self) -> bool:
        try:
            status, body = await http_get(dialled(self._options.host), self._options.port, "/ready")
        except (OSError, TimeoutError):
            return False
        if status != 200:
            return False
        instances = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).get("instances", msgspec.Raw(b"{}"))
        counts = msgspec.json.decode(instances, type=dict[str, int])
        return all(counts.get(room, 0) >= self._options.count(room) for room in ROOMS)

    def _give_up_on_crashes(self) -> None:
        failure = self._database.failure if self._database is not None else None
        if failure is not None:
            raise LocalServerError(f"the database could not be prepared: {failure}")
        for name, crashes in self._crashes.items():
            if crashes >= _CRASHES_BEFORE_GIVING_UP:
                log = self._directory.logs / f"{name}.log"
                raise LocalServerError(f"{name} does not stay up; the end of {log}:\n{log_tail(log)}")

    async def _furnished(self) -> Furnished:
        options, directory = self._options, self._directory
        first = not directory.furnished.exists() and (options.file is not None or options.demo)
        repository = str(directory.demo_repository)
        token = directory.admin_token()
        order = FurnishOrder(url=options.url, token=token, file=options.file, first=first, repository=repository)
        furnished = await self._furnish(order)
        if first and furnished != Furnished():
            directory.furnished.touch(mode=0o600)
        return furnished

    # --- what to start ---------------------------------------------------------------------------------

    async def _children(self) -> list[Child]:
        options, directory = self._options, self._directory
        token = directory.admin_token()
        directory.write_admin_env(options.url, token)
        servers: list[Child] = []
        nats_url, credentials, trust = self._bus(servers)
        database_url = await self._postgres(servers)
        wiring = Wiring(
            host=options.host,
            port=options.port,
            replicas={room: options.count(room) for room in ROOMS},
            nats_url=nats_url,
            credentials=credentials,
            database_url=database_url,
            vault_key=directory.vault_key,
            trust=trust,
            admin_token=token,
            logs=directory.logs,
            after=() if self._database is None or self._database.known_migrated else ("postgres",),
        )
        return [*servers, *room_children(wiring, options.environ)]

    def _bus(self, servers: list[Child]) -> tuple[str, dict[str, Path], Path | None]:
        options, directory = self._options, self._directory
        if options.nats_url is not None:
            place = Path(options.nats_credentials).absolute() if options.nats_credentials else None
            return options.nats_url, {} if place is None else {r: place / f"{r}.creds" for r in ROOMS}, None
        trust = directory.bus_trust()
        nats = EmbeddedNats(directory.nats, trust=trust)
        servers.append(msgspec.structs.replace(nats.child(), log_path=directory.logs / "nats.log"))
        return nats.url, write_room_credentials(trust, directory.keys), directory.trust

    async def _postgres(self, servers: list[Child]) -> str:
        if self._options.database_url is not None:
            await migrate_external(self._options.database_url, self._say)
            return self._options.database_url
        postgres = EmbeddedPostgres(self._directory.postgres)
        self._database = EmbeddedDatabase(postgres, self._directory)
        log = self._directory.logs / "postgres.log"
        servers.append(msgspec.structs.replace(postgres.child(), log_path=log, ready=self._database.ready))
        return self._database.dsn

    def _ports_must_be_free(self, *, patient: bool) -> None:
        options = self._options
        for port in range(options.port, options.port + options.count("edge")):
            problem = _why_not_free(options.host, port)
            if problem is not None and patient:
                wait_until(lambda port=port: _why_not_free(options.host, port) is None, 3.0)  # type: ignore[misc]
                problem = _why_not_free(options.host, port)
            if problem is not None:
                raise LocalServerError(f"cannot listen on {options.host}:{port}: {problem}; choose another --port")

    # --- signals and progress --------------------------------------------------------------------------

    def _stop_on_signals(self) -> asyncio.Event:
        stop = asyncio.Event()

        def asked() -> None:
            if stop.is_set():
                self._kill_now()
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, asked)
        return stop

    def _kill_now(self) -> None:
        for pid in [*(self._supervisor.pids.values() if self._supervisor is not None else ())]:
            kill_tree(pid)
        os._exit(130)

    def _on_event(self, event: Event) -> None:
        match event:
            case Ready(name=name) if not self._is_ready:
                if name in ("nats", "postgres") or name.startswith("edge"):
                    self._say(f"  {name} is up ({time.monotonic() - self._began:.1f} s)")
            case Exited() | NotStarted() | Restarting() if self._stopping:
                pass
            case Exited(name=name, code=code):
                self._crashes[name] = self._crashes.get(name, 0) + 1
                self._say(f"  {name} ended with {code}")
            case NotStarted(name=name, reason=reason):
                self._crashes[name] = self._crashes.get(name, 0) + 1
                self._say(f"  {name} could not be started: {reason}")
            case Restarting(name=name, delay=delay):
                self._say(f"  {name} starts again in {delay:g} s")
            case _:
                pass


async def _first(*ways: object) -> None:
    tasks = [asyncio.ensure_future(way) for way in ways]  # type: ignore[call-overload]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    for task in done:
        task.result()


def _why_not_free(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        return "the port is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
    except OverflowError:
        return "a port is at most 65535"
    return None
