"""Where the tests' NATS and Postgres come from: embedded servers, or containers with CALLBOARD_TEST_BACKEND=containers.

The embedded ones need nothing; containers need a Docker engine, and a run that asks for them without one is skipped
with that reason.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from callboard.contracts import subjects
from callboard.local.nats_server import EmbeddedNats
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.platform import bus_identity
from callboard.platform.bus_identity import Permissions, Trust
from tests.support.waiting import PATIENCE

NATS_IMAGE = "nats:2.12"
POSTGRES_IMAGE = "postgres:18"


def wants_containers() -> bool:
    return os.environ.get("CALLBOARD_TEST_BACKEND", "embedded") == "containers"


class Bus(NamedTuple):
    """A running NATS with the trust that its users are made from."""

    url: str
    trust: Trust

    def credentials(self, room: str, directory: Path) -> str:
        """The path of a credentials file for a room."""
        publish, subscribe = subjects.PERMISSIONS[room]
        permissions = Permissions(
            publish=publish, subscribe=(*subscribe, f"{subjects.inbox(room)}.>"), allow_responses=True
        )
        return str(bus_identity.user_creds(self.trust, room, permissions).save(directory / f"{room}.creds"))

    def everything(self, directory: Path) -> str:
        """The path of a credentials file that may do all."""
        permissions = Permissions(publish=(">",), subscribe=(">",), allow_responses=True)
        return str(bus_identity.user_creds(self.trust, "test", permissions).save(directory / "test.creds"))


class ContainerNats:
    """NATS in a container, with the manners of `EmbeddedNats`. Its host port stays the same over a restart."""

    def __init__(self, directory: Path, trust: Trust) -> None:
        core = pytest.importorskip("testcontainers.core.container")
        _engine_or_skip()
        self.trust = trust
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        config = directory / "nats.conf"
        store, resolver = Path("/data/jetstream"), Path("/data/resolver")
        text = bus_identity.server_config(trust, host="0.0.0.0", port=4222, store_dir=store, resolver_dir=resolver)
        config.write_text(text)
        container = core.DockerContainer(NATS_IMAGE).with_bind_ports(4222, self.port)
        self._container = container.with_volume_mapping(str(config), "/etc/callboard.conf").with_command(
            "-c /etc/callboard.conf"
        )

    def __enter__(self) -> ContainerNats:
        self._container.start()
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self._container.stop()

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def start(self) -> None:
        self._container.get_wrapped_container().start()

    def wait_ready(self, within: float = PATIENCE) -> None:
        _answers(self.port, within)


class ContainerPostgres:
    """Postgres in a container, with the manners of `EmbeddedPostgres`."""

    def __init__(self) -> None:
        containers = pytest.importorskip("testcontainers.postgres")
        _engine_or_skip()
        self._container = containers.PostgresContainer(POSTGRES_IMAGE, driver=None)

    def __enter__(self) -> ContainerPostgres:
        self._container.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._container.stop()

    @property
    def dsn(self) -> str:
        return str(self._container.get_connection_url())

    def dsn_for(self, database: str) -> str:
        return f"{self.dsn.rpartition('/')[0]}/{database}"

    def kill(self) -> None:
        self._container.stop()


def nats_server(directory: Path, trust: Trust | None = None) -> EmbeddedNats | ContainerNats:
    """A NATS with JetStream in operator mode; use it with `with`."""
    if wants_containers():
        return ContainerNats(directory, trust or Trust.generate())
    return EmbeddedNats(directory / "nats", trust=trust)


def postgres_server(directory: Path) -> EmbeddedPostgres | ContainerPostgres:
    """A Postgres; use it with `with`."""
    return ContainerPostgres() if wants_containers() else EmbeddedPostgres(directory)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, within: float) -> None:
    deadline = time.monotonic() + within
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                if connection.recv(4) == b"INFO":
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing answers on port {port}")


def _engine_or_skip() -> None:
    docker = pytest.importorskip("docker")
    try:
        docker.from_env().ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {type(error).__name__}")


@contextmanager
def external_servers() -> Iterator[list[str]]:
    """Arguments of `callboard up` for servers it does not start itself; none with the embedded ones."""
    if not wants_containers():
        yield []
        return
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="cb-test-")))
        database = stack.enter_context(ContainerPostgres())
        server = stack.enter_context(ContainerNats(directory, Trust.generate()))
        bus = Bus(server.url, server.trust)
        for room in subjects.ROOMS:
            bus.credentials(room, directory)
        yield ["--database-url", database.dsn, "--nats-url", bus.url, "--nats-credentials", str(directory)]
