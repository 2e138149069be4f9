from __future__ import annotations

import signal
import stat
from pathlib import Path

import nats
import pytest

from callboard.contracts.subjects import ROOMS, inbox
from callboard.kernel.tokens import key_id_of
from callboard.local.keys import make_keys
from callboard.local.nats_server import nats_server_binary
from callboard.local.process import Child, end, spawn
from tests.support.ports import free_ports
from tests.support.waiting import eventually


def test_every_service_gets_a_folder_that_only_its_owner_can_read(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert make_keys(keys, "http://127.0.0.1:8700", tmp_path / "data") is True
    for room in ROOMS:
        assert (keys / room / "bus.creds").exists()
    for path in keys.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert {path.name for path in (keys / "edge").iterdir()} == {"bus.creds"}
    token = (keys / "authsvc" / "admin.token").read_text()
    assert key_id_of(token) is not None
    assert token in (keys / "admin" / "admin.env").read_text()


def test_a_second_run_keeps_what_is_there(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    make_keys(keys, "http://127.0.0.1:8700", tmp_path / "data")
    before = {name: (keys / "authsvc" / name).read_bytes() for name in ("vault.key", "admin.token", "trust/trust.json")}
    assert make_keys(keys, "http://127.0.0.1:8700", tmp_path / "data") is False
    assert before == {name: (keys / "authsvc" / name).read_bytes() for name in before}


async def test_a_server_with_the_written_config_lets_the_written_credentials_in(tmp_path: Path) -> None:
    keys, port = tmp_path / "keys", free_ports(1)
    make_keys(keys, "http://127.0.0.1:8700", tmp_path / "data")
    config = keys / "nats" / "nats.conf"
    config.write_text(config.read_text().replace("0.0.0.0", "127.0.0.1").replace("4222", str(port)))
    child = Child(
        name="nats", argv=(str(nats_server_binary()), "-c", str(config)), env={}, log_path=tmp_path / "nats.log"
    )
    process = spawn(child)
    try:

        async def connects() -> bool:
            try:
                client = await nats.connect(
                    f"nats://127.0.0.1:{port}",
                    user_credentials=str(keys / "router" / "bus.creds"),
                    inbox_prefix=inbox("router"),
                    allow_reconnect=False,
                )
            except OSError:
                return False
            await client.close()
            return True

        await eventually(connects)
        with pytest.raises(Exception, match=r"(?i)authorization"):
            await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, max_reconnect_attempts=0)
    finally:
        end(process, [(signal.SIGTERM, 2.0)])
