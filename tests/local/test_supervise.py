"""The supervisor: what dies comes back, and when it stops nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import nats
import psutil
import pytest
import pytest_asyncio

from callboard.local.nats_server import EmbeddedNats
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.local.process import Child, wait_until
from callboard.local.supervise import (
    Backoff,
    Event,
    Exited,
    NotStarted,
    Ready,
    Restarting,
    Started,
    Supervisor,
    read_run_state,
)
from callboard.platform.bus_identity import Permissions, user_creds
from tests.support.waiting import PATIENCE, Stalls, eventually, settled

FOREVER = "import signal; signal.pause()"
QUICK = Backoff(first=0.01, longest=0.04)

# Writes its own id and that of a grandchild, both deaf to SIGTERM; the grandchild in a session of its own if asked.
STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    if sys.argv[2] == "setsid":
        os.setsid()
    if os.fork() != 0:
        signal.pause()
with open(sys.argv[1], "a") as pids:
    pids.write(f"{os.getpid()}\\n{os.getppid()}\\n")
signal.pause()
"""


class Watched:
    """A supervisor together with what it reported."""

    def __init__(self, directory: Path, children: list[Child], stop_within: float = 4.0) -> None:
        self.events: list[Event] = []
        self.supervisor = Supervisor(
            children, directory, on_event=self.events.append, backoff=QUICK, stop_within=stop_within
        )

    async def __aenter__(self) -> Watched:
        await self.supervisor.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.supervisor.stop()


def python(directory: Path, name: str, script: str, *args: str, after: tuple[str, ...] = ()) -> Child:
    return Child(
        name=name,
        argv=(sys.executable, "-c", script, *args),
        env={"PATH": os.defpath},
        log_path=directory / f"{name}.log",
        after=after,
    )


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children() -> set[int]:
    """Of this process itself: what servers of other tests start meanwhile, such as a vacuum, is theirs."""
    return {process.pid for process in psutil.Process().children()}


@pytest.fixture(autouse=True)
def leaves_no_process() -> Iterator[None]:
    before = children()
    yield
    assert children() - before == set()


async def test_a_killed_child_is_started_again_and_all_of_it_is_reported(tmp_path: Path) -> None:
    async with Watched(tmp_path, [python(tmp_path, "room", FOREVER)]) as watched:
        await watched.supervisor.wait_ready(PATIENCE)
        first = watched.supervisor.pids["room"]

        os.kill(first, signal.SIGKILL)
        await eventually(lambda: watched.supervisor.pids.get("room", first) != first)
        await watched.supervisor.wait_ready(PATIENCE)

        second = watched.supervisor.pids["room"]
        assert watched.events == [
            Started("room", first),
            Ready("room"),
            Exited("room", -signal.SIGKILL),
            Restarting("room", 0.01),
            Started("room", second),
            Ready("room"),
        ]
        assert watched.supervisor.restarts == {"room": 1}


async def test_the_wait_before_a_restart_doubles_up_to_a_limit(tmp_path: Path) -> None:
    async with Watched(tmp_path, [python(tmp_path, "room", "raise SystemExit(3)")]) as watched:
        await eventually(lambda: watched.supervisor.restarts["room"] >= 5)

    delays = [event.delay for event in watched.events if isinstance(event, Restarting)]
    assert delays[:5] == [0.01, 0.02, 0.04, 0.04, 0.04]
    assert Exited("room", 3) in watched.events


async def test_the_wait_is_short_again_after_the_child_stayed_up(tmp_path: Path) -> None:
    events: list[Event] = []
    supervisor = Supervisor(
        [python(tmp_path, "room", "pass")],
        tmp_path,
        on_event=events.append,
        backoff=Backoff(first=0.01, longest=5.0, forgotten_after=0.0),
    )
    async with supervisor:
        await eventually(lambda: supervisor.restarts["room"] >= 3)

    assert {event.delay for event in events if isinstance(event, Restarting)} == {0.01}


def test_the_usual_waits_go_from_a_tenth_of_a_second_to_five() -> None:
    delays = [Backoff().delay(failures) for failures in (1, 2, 3, 4, 5, 6, 7, 1000)]

    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_a_child_that_cannot_start_is_reported_and_tried_again(tmp_path: Path) -> None:
    child = Child(name="room", argv=(str(tmp_path / "missing"),), env={}, log_path=tmp_path / "log")

    async with Watched(tmp_path, [child]) as watched:
        await eventually(lambda: watched.supervisor.restarts["room"] >= 2)

    reasons = [event.reason for event in watched.events if isinstance(event, NotStarted)]
    assert len(reasons) >= 2
    assert "missing" in reasons[0]


async def test_a_child_starts_only_after_those_it_needs_are_ready(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def gate_is_open() -> bool:
        return gate.is_set()

    needed = Child(
        name="needed",
        argv=(sys.executable, "-c", FOREVER),
        env={},
        log_path=tmp_path / "needed.log",
        ready=gate_is_open,
    )
    async with Watched(tmp_path, [python(tmp_path, "room", FOREVER, after=("needed",)), needed]) as watched:
        await eventually(lambda: "needed" in watched.supervisor.pids)
        with pytest.raises(TimeoutError, match="room, needed"):
            await watched.supervisor.wait_ready(0.05)
        assert "room" not in watched.supervisor.pids

        gate.set()
        await watched.supervisor.wait_ready(PATIENCE)

    names = [event.name for event in watched.events if isinstance(event, Started | Ready)]
    assert names == ["needed", "needed", "room", "room"]


async def test_children_are_stopped_in_reverse_order(tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = (
        "import signal, sys\n"
        "def leave(*_):\n"
        "    with open(sys.argv[1], 'a') as file: file.write(sys.argv[2])\n"
        "    raise SystemExit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "open(sys.argv[1] + sys.argv[2], 'w').close()\n"
        "signal.pause()\n"
    )
    names = ["a", "b", "c"]
    async with Watched(tmp_path, [python(tmp_path, name, script, str(order), name) for name in names]) as watched:
        await eventually(lambda: all((tmp_path / f"order{name}").exists() for name in names))

    assert order.read_text() == "cba"
    assert [event for event in watched.events if isinstance(event, Exited)] == [
        Exited("c", 0),
        Exited("b", 0),
        Exited("a", 0),
    ]


@pytest.mark.parametrize("session", ["setsid", "same session"])
async def test_stop_ends_within_its_bound_and_leaves_nothing_that_ignores_sigterm(tmp_path: Path, session: str) -> None:
    pids_file = tmp_path / "pids"
    children = [
        python(tmp_path, "gentle", FOREVER),
        python(tmp_path, "stubborn", STUBBORN, str(pids_file), session),
    ]
    async with Watched(tmp_path, children, stop_within=1.0) as watched:
        pids = await eventually(lambda: written(pids_file, 4))
        assert all(is_alive(pid) for pid in pids)

        async with Stalls() as watch:
            await watched.supervisor.stop()
            assert watch.elapsed < 1.5
    assert [pid for pid in pids if is_alive(pid)] == []


@pytest.mark.parametrize("session", ["setsid", "same session"])
async def test_what_a_killed_child_leaves_behind_is_killed_before_it_starts_again(tmp_path: Path, session: str) -> None:
    pids_file = tmp_path / "pids"
    children = [
        python(tmp_path, "stubborn", STUBBORN, str(pids_file), session),
        python(tmp_path, "other", FOREVER),
    ]
    async with Watched(tmp_path, children, stop_within=1.0) as watched:
        first = set(await eventually(lambda: written(pids_file, 4)))
        other = watched.supervisor.pids["other"]

        os.kill(watched.supervisor.pids["stubborn"], signal.SIGKILL)
        await eventually(lambda: watched.supervisor.restarts["stubborn"] == 1)

        left = {pid for pid in first - {os.getpid()} if is_alive(pid)}
        assert left == set()
        assert watched.supervisor.pids["other"] == other


def written(path: Path, count: int) -> list[int]:
    """The process ids in the file, once all are there, without the one of this process."""
    with contextlib.suppress(FileNotFoundError):
        pids = [int(line) for line in path.read_text().split()]
        if len(pids) >= count:
            return [pid for pid in pids if pid != os.getpid()]
    return []


async def test_a_process_started_before_the_supervisor_is_left_alone(tmp_path: Path) -> None:
    with EmbeddedNats(tmp_path / "mine") as mine:
        async with Watched(tmp_path, [python(tmp_path, "room", "pass")]) as watched:
            await eventually(lambda: watched.supervisor.restarts["room"] >= 1)

        assert mine.is_ready()


async def test_each_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    async with Watched(tmp_path, [python(tmp_path, "room", FOREVER)]) as watched:
        await watched.supervisor.wait_ready(PATIENCE)
        pid = watched.supervisor.pids["room"]

        assert os.getsid(pid) == pid
        assert os.getpgid(pid) == pid


async def test_process_ids_and_restarts_are_in_a_private_file_while_it_runs(tmp_path: Path) -> None:
    async with Watched(tmp_path, [python(tmp_path, "room", FOREVER)]) as watched:
        await watched.supervisor.wait_ready(PATIENCE)
        os.kill(watched.supervisor.pids["room"], signal.SIGKILL)
        await eventually(lambda: watched.supervisor.restarts["room"] == 1)
        await watched.supervisor.wait_ready(PATIENCE)

        state = read_run_state(tmp_path)

        assert state is not None
        assert state.supervisor == os.getpid()
        room = state.children["room"]
        assert (room.pid, room.restarts, room.ready) == (watched.supervisor.pids["room"], 1, True)
        assert (tmp_path / "run" / "pids.json").stat().st_mode & 0o077 == 0
    assert read_run_state(tmp_path) is None


async def test_stop_before_anything_is_up_leaves_nothing(tmp_path: Path) -> None:
    watched = Watched(tmp_path, [EmbeddedPostgres(tmp_path / "postgres").child()])
    await watched.supervisor.start()

    await watched.supervisor.stop()
    await watched.supervisor.stop()

    assert watched.supervisor.pids == {}


class Servers:
    """NATS and Postgres under one supervisor."""

    def __init__(self, directory: Path) -> None:
        self.nats = EmbeddedNats(directory / "nats")
        self.postgres = EmbeddedPostgres(directory / "postgres")
        self.watched = Watched(directory, [self.nats.child(), self.postgres.child()])
        self.supervisor = self.watched.supervisor

    async def back(self, name: str, killed: int) -> None:
        await eventually(lambda: self.supervisor.pids.get(name, killed) != killed)
        await self.supervisor.wait_ready(PATIENCE)


@pytest_asyncio.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    servers = Servers(tmp_path)
    async with servers.watched:
        await servers.supervisor.wait_ready(20)
        yield servers


async def test_a_killed_nats_comes_back_under_its_clients(servers: Servers) -> None:
    creds = user_creds(servers.nats.trust, "room", Permissions(publish=(">",), subscribe=(">",)))

    async def ignore(_error: Exception) -> None:
        pass

    client = await nats.connect(
        servers.nats.url,
        user_credentials=creds.raw(),
        reconnect_time_wait=0.05,
        max_reconnect_attempts=-1,
        error_cb=ignore,
    )
    echo = await client.subscribe("echo")
    await settled(client)
    killed = servers.supervisor.pids["nats"]

    os.kill(killed, signal.SIGKILL)
    await servers.back("nats", killed)

    await eventually(lambda: client.is_connected)
    await client.publish("echo", b"again")
    assert (await echo.next_msg(timeout=PATIENCE)).data == b"again"
    await client.close()


async def test_a_killed_postmaster_comes_back_with_every_committed_row(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.postgres.dsn)
    await connection.execute("create table kept (number int)")
    await connection.execute("insert into kept values (1)")
    busy = asyncio.create_task(connection.execute("select pg_sleep(60)"))
    killed = servers.supervisor.pids["postgres"]

    os.kill(killed, signal.SIGKILL)
    await servers.back("postgres", killed)

    with pytest.raises((asyncpg.PostgresError, OSError)):
        await busy
    again = await asyncpg.connect(servers.postgres.dsn)
    assert await again.fetchval("select count(*) from kept") == 1
    await again.close()


async def test_stopping_servers_in_use_takes_less_than_five_seconds(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.postgres.dsn)
    busy = asyncio.create_task(connection.execute("select pg_sleep(60)"))

    async with Stalls() as watch:
        await servers.supervisor.stop()
        assert watch.elapsed < 5
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await busy
    assert "database system is shut down" in servers.postgres.log_path.read_text()


HOST = """
import asyncio, pathlib, signal, sys, uvloop
from callboard.local.nats_server import EmbeddedNats
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.local.supervise import Supervisor

async def main():
    directory = pathlib.Path(sys.argv[1])
    children = [EmbeddedNats(directory / "nats").child(), EmbeddedPostgres(directory / "postgres").child()]
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    async with Supervisor(children, directory) as supervisor:
        await supervisor.wait_ready(20)
        print("ready", flush=True)
        await asked.wait()

uvloop.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_all_is_gone_soon_after_the_supervising_process(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", HOST, str(tmp_path)], stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
        below = [process.pid for process in psutil.Process(host.pid).children(recursive=True)]
        assert len(below) > 5

        host.send_signal(number)
        code = host.wait(PATIENCE)

        assert wait_until(lambda: not any(is_alive(pid) for pid in below), PATIENCE)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
