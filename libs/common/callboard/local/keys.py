"""Keys for an installation of several machines or containers: made once, a folder for each service.

    DIR/nats/nats.conf                     config of a NATS server that trusts them
    DIR/<service>/bus.creds                credentials that may use only that service's subjects
    DIR/authsvc/vault.key, trust/, admin.token     what only authsvc may read
    DIR/admin/admin.env                    CALLBOARD_URL and CALLBOARD_TOKEN of the administrator

Above: `callboard keys`, compose.yaml. Below: `identities`, `platform.bus_identity`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from callboard.contracts.subjects import ROOMS
from callboard.kernel.tokens import compose
from callboard.local.identities import room_permissions
from callboard.platform.bus_identity import (
    Trust,
    make_private_directory,
    server_config,
    user_creds,
    write_private_file,
)

_NATS_PORT: Final = 4222
_VAULT_KEY_BYTES: Final = 32


def make_keys(directory: Path, url: str, nats_data: Path) -> bool:
    """Make what is missing; False when everything was there. Nothing that exists is made anew but credentials.

    `url`: where the administrator reaches the edge. `nats_data`: where the NATS server keeps its state.
    """
    fresh = not (directory / "authsvc" / "trust").exists()
    for name in ("nats", "admin", *ROOMS):
        make_private_directory(directory / name)
    trust_directory = directory / "authsvc" / "trust"
    trust = Trust.generate() if fresh else Trust.load(trust_directory)
    if fresh:
        trust.save(trust_directory)
        write_private_file(directory / "authsvc" / "vault.key", os.urandom(_VAULT_KEY_BYTES))
        token = compose(os.urandom(40))
        write_private_file(directory / "authsvc" / "admin.token", token.encode())
        text = f"CALLBOARD_URL={url}\nCALLBOARD_TOKEN={token}\n"
        write_private_file(directory / "admin" / "admin.env", text.encode())
    for room in ROOMS:
        user_creds(trust, room, room_permissions(room)).save(directory / room / "bus.creds")
    config = server_config(
        trust,
        host="0.0.0.0",
        port=_NATS_PORT,
        store_dir=nats_data / "jetstream",
        resolver_dir=nats_data / "resolver",
    )
    write_private_file(directory / "nats" / "nats.conf", config.encode())
    return fresh
