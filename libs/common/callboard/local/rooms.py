"""The rooms as child processes: the same start words as in a container, each with only the settings it needs."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from callboard.contracts.subjects import ROOMS
from callboard.local.process import Child

START_ORDER: Final = ("authsvc", "projections", "connectors", "router", "edge")
_WITH_DATABASE: Final = frozenset(ROOMS) - {"edge"}
_WAY_OUT: Final = frozenset({"connectors", "authsvc"})
"""The rooms that connect to hosts which somebody named."""
_PASSED_ON: Final = (
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "CALLBOARD_LOG_LEVEL",
    "CALLBOARD_OTLP_ENDPOINT",
    "CALLBOARD_TRACE_SHARE",
    "CALLBOARD_PUBLIC_URL",
)
_COLLECTOR: Final = "OTEL_EXPORTER_OTLP_"
"""What OpenTelemetry's exporter reads by itself: headers, certificates, compression of the collector."""
_POOL: Final = 8
_CONNECTIONS: Final = 100
"""Of the embedded Postgres' 120, what the rooms may take together."""


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """What the rooms have to know of each other's surroundings. Paths are absolute; `replicas` names every room."""

    host: str
    port: int
    replicas: Mapping[str, int]
    nats_url: str
    credentials: Mapping[str, Path]
    database_url: str
    vault_key: Path
    trust: Path | None
    admin_token: str
    logs: Path
    after: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Wiring(port={self.port}, replicas={dict(self.replicas)})"


def room_children(wiring: Wiring, environ: Mapping[str, str]) -> list[Child]:
    """Every process of every room. `environ` is the user's, of which little is passed on."""
    return [_child(wiring, room, number, environ) for room in START_ORDER for number in range(wiring.replicas[room])]


def instance_label(room: str, number: int, replicas: int) -> str:
    """How a process is called in logs and progress: `router`, or `router-2` when there are several."""
    return room if replicas == 1 else f"{room}-{number + 1}"


def _child(wiring: Wiring, room: str, number: int, environ: Mapping[str, str]) -> Child:
    name = instance_label(room, number, wiring.replicas[room])
    port = wiring.port + number
    return Child(
        name=name,
        argv=(sys.executable, "-m", f"callboard_{room}"),
        env={**_defaults(wiring, room), **_surroundings(room, environ), **_settings(wiring, room, port)},
        log_path=wiring.logs / f"{name}.log",
        ready=functools.partial(_answers_health, wiring.host, port) if room == "edge" else None,
        after=wiring.after,
        group=room,
    )


def _defaults(wiring: Wiring, room: str) -> dict[str, str]:
    """What holds unless the user says otherwise: who runs Callboard on a machine of their own has servers there too."""
    private = {f"CALLBOARD_{room.upper()}_PRIVATE_UPSTREAMS": "*"} if room in _WAY_OUT else {}
    return {"CALLBOARD_PUBLIC_URL": _public_url(wiring), **private}


def _surroundings(room: str, environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: environ[name] for name in _PASSED_ON if name in environ}
    own = f"CALLBOARD_{room.upper()}_"
    kept |= {name: value for name, value in environ.items() if name.startswith((own, _COLLECTOR))}
    # Servers that are installed beside Callboard are found by their bare names.
    kept["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", os.defpath)))
    return kept


def _settings(wiring: Wiring, room: str, port: int) -> dict[str, str]:
    settings = {"CALLBOARD_NATS_URL": wiring.nats_url}
    if room in wiring.credentials:
        settings["CALLBOARD_NATS_CREDENTIALS"] = str(wiring.credentials[room])
    if room in _WITH_DATABASE:
        settings["CALLBOARD_DATABASE_URL"] = wiring.database_url
    pools = sum(wiring.replicas[each] for each in _WITH_DATABASE)
    if _POOL * pools > _CONNECTIONS:
        pool = max(2, _CONNECTIONS // pools)
        settings[f"CALLBOARD_{room.upper()}_DATABASE_POOL"] = str(pool)
    if room == "edge":
        settings |= {"CALLBOARD_EDGE_HOST": wiring.host, "CALLBOARD_EDGE_PORT": str(port)}
        settings.pop("CALLBOARD_EDGE_DATABASE_POOL", None)
    if room == "authsvc":
        settings |= {
            "CALLBOARD_AUTHSVC_KEY_FILE": str(wiring.vault_key),
            "CALLBOARD_AUTHSVC_CREATE_KEYS": "true",
            "CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN": wiring.admin_token,
        }
        if wiring.trust is not None:
            settings["CALLBOARD_AUTHSVC_TRUST_DIR"] = str(wiring.trust)
    return settings


def _public_url(wiring: Wiring) -> str:
    host = dialled(wiring.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{wiring.port}"


async def _answers_health(host: str, port: int) -> bool:
    status, _body = await http_get(dialled(host), port, "/health")
    return status == 200


def dialled(host: str) -> str:
    """Where this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


async def http_get(host: str, port: int, path: str, within: float = 2.0) -> tuple[int, bytes]:
    """One GET without a HTTP library, which would cost more to import than the whole wait takes."""
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            name = f"[{host}]" if ":" in host else host
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 0), body
