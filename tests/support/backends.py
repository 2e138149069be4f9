"""Where the tests' NATS and Postgres come from: embedded servers, or containers with CALLBOARD_TEST_BACKEND=containers.

The embedded ones need nothing; containers need a Docker engine, and a run that asks for them without one is skipped
with that reason.
"""

from __future__ import annotations

import os
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


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """The DSN of an empty database."""
    if wants_containers():
        with _postgres_container() as dsn:
            yield dsn
        return
    server = EmbeddedPostgres(directory / "postgres")
    server.start()
    try:
        server.wait_ready()
        yield server.dsn
    finally:
        server.stop()


@contextmanager
def nats(directory: Path) -> Iterator[Bus]:
    """A NATS with JetStream in operator mode."""
    trust = Trust.generate()
    if wants_containers():
        with _nats_container(trust, directory) as url:
            yield Bus(url, trust)
        return
    server = EmbeddedNats(directory / "nats", trust=trust)
    server.start()
    try:
        server.wait_ready()
        yield Bus(server.url, trust)
    finally:
        server.stop()


@contextmanager
def _postgres_container() -> Iterator[str]:
    containers = pytest.importorskip("testcontainers.postgres")
    _engine_or_skip()
    with containers.PostgresContainer(POSTGRES_IMAGE, driver=None) as container:
        yield container.get_connection_url()


@contextmanager
def _nats_container(trust: Trust, directory: Path) -> Iterator[str]:
    core = pytest.importorskip("testcontainers.core.container")
    _engine_or_skip()
    config = directory / "nats.conf"
    config.write_text(
        bus_identity.server_config(
            trust, host="0.0.0.0", port=4222, store_dir=Path("/data/jetstream"), resolver_dir=Path("/data/resolver")
        )
    )
    container = core.DockerContainer(NATS_IMAGE).with_exposed_ports(4222).with_command("-c /etc/callboard.conf")
    with container.with_volume_mapping(str(config), "/etc/callboard.conf") as started:
        yield f"nats://{started.get_container_host_ip()}:{started.get_exposed_port(4222)}"


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
        dsn = stack.enter_context(postgres(directory))
        bus = stack.enter_context(nats(directory))
        for room in subjects.ROOMS:
            bus.credentials(room, directory)
        yield ["--database-url", dsn, "--nats-url", bus.url, "--nats-credentials", str(directory)]
