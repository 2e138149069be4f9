"""compose.yaml and Dockerfile agree with the services: start words, settings, health checks, an ordinary user."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from callboard.contracts.subjects import ROOMS
from callboard.platform.settings import CommonSettings, load
from callboard_authsvc.settings import AuthsvcSettings
from callboard_connectors.settings import ConnectorsSettings
from callboard_edge.settings import EdgeSettings
from callboard_projections.settings import ProjectionsSettings
from callboard_router.settings import RouterSettings

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, type[CommonSettings]] = {
    "edge": EdgeSettings,
    "router": RouterSettings,
    "connectors": ConnectorsSettings,
    "authsvc": AuthsvcSettings,
    "projections": ProjectionsSettings,
}


def services() -> dict[str, dict[str, Any]]:
    parsed: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return parsed


def test_every_service_runs_by_its_start_word_with_a_health_check() -> None:
    for room in ROOMS:
        service = services()[room]
        assert service["command"] == ["run", room]
        assert service["healthcheck"]["test"] == ["CMD", "callboard", "health", room]
        assert service["image"] == services()["keys"]["image"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_setting_in_compose_is_a_setting_of_its_service(room: str, tmp_path: Path) -> None:
    written = services()[room]["environment"].items()
    # `${NAME:-default}` as compose reads it where NAME is not set.
    environment = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in written}
    for name in [name for name in environment if name.endswith("_TOKEN_FILE")]:
        del environment[name]
    assert load(SETTINGS[room], room, environment)


@pytest.mark.parametrize("room", ROOMS)
def test_every_service_sees_its_own_keys_only(room: str) -> None:
    (volume,) = services()[room]["volumes"]
    assert volume.split(":")[0] == f"keys-{room}"
    assert volume.endswith(":ro") or room == "authsvc"


def test_only_the_edge_is_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published == {"edge": ["127.0.0.1:8700:8700"]}


def test_the_image_runs_as_an_ordinary_user() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert text.index("USER callboard") < text.index("ENTRYPOINT")


def test_compose_itself_accepts_the_file() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("docker compose is not installed here")
    checked = subprocess.run(
        ["docker", "compose", "-f", str(ROOT / "compose.yaml"), "config", "-q"],
        capture_output=True,
        env={"POSTGRES_PASSWORD": "x", "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    assert checked.returncode == 0, checked.stderr.decode()
