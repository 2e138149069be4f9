"""The embedded Postgres: nothing committed is lost, nothing half made is left, nobody else gets in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from callboard.local import postgres_server
from callboard.local.postgres_server import EmbeddedPostgres, RunAs, find_run_as, postgres_binaries
from callboard.local.process import LocalServerError, wait_until
from tests.support.waiting import PATIENCE, Stalls, eventually

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory every user may enter, so that what refuses them is what is inside it."""
    directory = Path(tempfile.mkdtemp(prefix="callboard-open-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@contextlib.asynccontextmanager
async def connected(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(server.dsn)
    try:
        yield connection
    finally:
        connection.terminate()


async def keep(server: EmbeddedPostgres) -> None:
    async with connected(server) as connection:
        await connection.execute("create table kept (number int)")
        await connection.execute("insert into kept values (1), (2)")


async def kept(server: EmbeddedPostgres) -> int:
    async with connected(server) as connection:
        return int(await connection.fetchval("select count(*) from kept"))


async def test_a_new_one_is_durable_checked_and_utf8(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        async with connected(server) as connection:
            names = (
                "fsync",
                "synchronous_commit",
                "data_checksums",
                "max_connections",
                "server_encoding",
                "listen_addresses",
            )
            settings = [await connection.fetchval("select current_setting($1)", name) for name in names]
            upper = await connection.fetchval("select upper('ä')")

    assert settings == ["on", "on", "on", "120", "UTF8", ""]
    assert upper == "Ä"


async def test_a_restart_has_the_same_address_and_rows(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as first:
        await keep(first)

    with EmbeddedPostgres(tmp_path) as second:
        assert second.dsn == first.dsn
        assert await kept(second) == 2


async def test_committed_rows_survive_a_kill_of_everything(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        await keep(server)
        server.kill()
        assert server.pid is None

        server.start()
        server.wait_ready()

        assert await kept(server) == 2


async def test_it_starts_again_while_backends_of_a_killed_postmaster_still_run(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        await keep(server)
        assert server.pid is not None
        async with connected(server) as connection:
            backend = await connection.fetchval("select pg_backend_pid()")
            # A stopped process cannot notice that its postmaster died, as a busy one does not for a while.
            os.kill(backend, signal.SIGSTOP)
            os.kill(server.pid, signal.SIGKILL)
            await eventually(lambda: server.pid is None)
            assert backend in postgres_server._processes_in(server.data_dir)

            server.start()
            server.wait_ready()

            assert backend not in postgres_server._processes_in(server.data_dir)
        assert await kept(server) == 2


async def test_a_server_of_an_earlier_run_is_stopped_first(tmp_path: Path) -> None:
    earlier = EmbeddedPostgres(tmp_path)
    earlier.start()
    earlier.wait_ready()
    await keep(earlier)

    with EmbeddedPostgres(tmp_path) as server:
        assert earlier.pid is None
        assert await kept(server) == 2
    assert "received fast shutdown request" in server.log_path.read_text()
    earlier.stop()


async def test_a_lock_file_that_names_some_other_process_does_not_matter(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        await keep(server)
        lock = (server.data_dir / "postmaster.pid").read_text().splitlines()
        socket_lock = server.socket_dir / ".s.PGSQL.5432.lock"
        socket_lock_lines = socket_lock.read_text().splitlines()
        server.kill()
        for path, lines in (
            (server.data_dir / "postmaster.pid", lock),
            (socket_lock, socket_lock_lines),
        ):
            path.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")

        server.start()
        server.wait_ready()

        assert await kept(server) == 2


async def test_stop_ends_it_in_time_with_a_client_in_a_transaction(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        async with connected(server) as connection:
            query = asyncio.create_task(connection.execute("select pg_sleep(60)"))
            await eventually(lambda: sleeps(server))
            async with Stalls() as watch:
                await asyncio.to_thread(server.stop)
                assert watch.elapsed < 4
            with pytest.raises((asyncpg.PostgresError, OSError)):
                await query
    assert postgres_server._processes_in(server.data_dir) == set()


async def sleeps(server: EmbeddedPostgres) -> bool:
    async with connected(server) as connection:
        query = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
        return bool(await connection.fetchval(query))


def test_a_warm_start_takes_less_than_half_a_second(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    seconds = []
    for _ in range(4):
        started = time.monotonic()
        with server:
            seconds.append(time.monotonic() - started)

    assert min(seconds[1:]) < 0.5


def test_what_an_interrupted_initdb_left_is_removed(tmp_path: Path) -> None:
    half_made = tmp_path / ".init-interrupted"
    (half_made / "data").mkdir(parents=True)
    (half_made / "data" / "PG_VERSION").write_text("18\n")

    with EmbeddedPostgres(tmp_path):
        assert not half_made.exists()


def test_an_initdb_that_fails_leaves_no_data_directory(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, run_as=RunAs(prefix=("false",)))

    with pytest.raises(LocalServerError, match="initdb failed"):
        server.start()

    assert not server.data_dir.exists()
    assert list(tmp_path.glob(".init-*")) == []


def test_a_lost_password_is_a_clear_error(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        pass
    (tmp_path / "postgres.password").unlink()

    with pytest.raises(LocalServerError, match="restore it"):
        server.start()


async def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server, pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.dsn, password="wrong")


async def test_a_path_too_long_for_a_socket_gets_a_short_private_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)

    with EmbeddedPostgres(deep) as server:
        await keep(server)

        assert len(os.fsencode(server.socket_dir)) < 90
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
    shutil.rmtree(server.socket_dir)


async def test_a_path_may_hold_what_a_url_or_a_list_reads_differently(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / 'a, "b" & 100%') as server:
        await keep(server)
    shutil.rmtree(server.socket_dir)


def test_a_socket_directory_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    made = EmbeddedPostgres(deep).socket_dir
    made.rmdir()
    made.symlink_to(tmp_path)

    with pytest.raises(LocalServerError, match="belongs to someone else"):
        EmbeddedPostgres(deep)
    made.unlink()


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from callboard.local.postgres_server import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))\n"
        "server.start(); server.wait_ready(); print(server.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        assert postgres_server._processes_in(tmp_path / "data")
        parent.send_signal(signal.SIGKILL)

    assert wait_until(lambda: not postgres_server._processes_in(tmp_path / "data"), PATIENCE)


def test_nothing_it_writes_is_open_to_others(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        directory = server.data_dir.parent
        others = stat.S_IRWXG | stat.S_IRWXO

        assert [path for path in (directory, *directory.iterdir()) if path.stat().st_mode & others] == []
        assert server.data_dir.stat().st_uid == os.geteuid()


@needs_root
async def test_another_user_can_neither_read_its_files_nor_connect(open_dir: Path) -> None:
    with EmbeddedPostgres(open_dir / "postgres") as server:
        await keep(server)
        for path in (open_dir / "postgres" / "postgres.password", server.data_dir / "PG_VERSION"):
            assert "Permission denied" in as_nobody("/bin/cat", str(path)).stderr
        psql = postgres_binaries() / "psql"
        if as_nobody(str(psql), "--version").returncode != 0:
            pytest.skip(f"another user cannot run {psql}")

        refused = as_nobody(str(psql), server.dsn, "-c", "select 1")

        assert refused.returncode != 0
        assert "Permission denied" in refused.stderr


@needs_root
async def test_without_user_namespaces_root_runs_it_as_another_user(
    open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_server, "_inner_user", lambda: None)
    directory = open_dir / "postgres"
    directory.mkdir()
    try:
        run_as = find_run_as(directory, postgres_binaries())
    except LocalServerError:
        pytest.skip("no other user can run the binaries here")

    with EmbeddedPostgres(directory, run_as=run_as) as server:
        await keep(server)
        server.kill()
        server.start()
        server.wait_ready()

        assert await kept(server) == 2
        assert server.pid is not None
        assert psutil.Process(server.pid).uids().effective == run_as.user != 0


@needs_root
def test_where_neither_way_works_the_error_says_what_to_do(open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server, "_inner_user", lambda: None)
    open_dir.chmod(0o700)

    with pytest.raises(LocalServerError, match=r"user namespaces are off.*start as an ordinary user"):
        EmbeddedPostgres(open_dir / "postgres")


def as_nobody(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
