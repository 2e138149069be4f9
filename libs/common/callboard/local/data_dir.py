"""The directory where one local installation keeps everything, and the lock that keeps a second one out.

    DIR/admin.env     CALLBOARD_URL and CALLBOARD_TOKEN of the local administrator
    DIR/keys/         trust of the bus, credentials of each service, key of the vault
    DIR/nats/  DIR/postgres/  DIR/logs/  DIR/run/  DIR/demo-repo/

All of it belongs to one OS user (directories 0700, files 0600).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from callboard.kernel.tokens import compose
from callboard.local.process import LocalServerError
from callboard.platform.bus_identity import Trust, make_private_directory, write_private_file

ADMIN_ENV: Final = "admin.env"
_TRUST_FILE: Final = "trust.json"


class DataDirectory:
    """The paths of one installation. Making it makes the directories; raises `LocalServerError`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            make_private_directory(self.path)
            for directory in (self.keys, self.logs, self.run):
                make_private_directory(directory)
        except OSError as error:
            raise LocalServerError(
                f"cannot use {path} as data directory: {error.strerror}; choose another one with --data-dir"
            ) from None

    @property
    def keys(self) -> Path:
        """Everything that must never leave this machine."""
        return self.path / "keys"

    @property
    def vault_key(self) -> Path:
        """The key of the vault; authsvc makes it."""
        return self.keys / "vault.key"

    @property
    def trust(self) -> Path:
        """The directory of the bus's trust."""
        return self.keys / "trust"

    @property
    def nats(self) -> Path:
        """State of the embedded NATS."""
        return self.path / "nats"

    @property
    def postgres(self) -> Path:
        """State of the embedded Postgres."""
        return self.path / "postgres"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """What is true only while it runs."""
        return self.path / "run"

    @property
    def demo_repository(self) -> Path:
        """A small git repository, for where there is no checkout to look into."""
        return self.path / "demo-repo"

    @property
    def furnished(self) -> Path:
        """Exists when the first start has applied its file or the demo."""
        return self.path / "furnished"

    @property
    def migrated(self) -> Path:
        """Holds the fingerprint of the migrations the database has."""
        return self.path / "migrated"

    def bus_trust(self) -> Trust:
        """The trust of the embedded bus, made at the first start."""
        if (self.trust / _TRUST_FILE).exists():
            return Trust.load(self.trust)
        trust = Trust.generate()
        trust.save(self.trust)
        return trust

    def rooms_password(self) -> str:
        """The password of the login that the services have at the embedded Postgres, made at the first start."""
        place = self.keys / "rooms.password"
        with contextlib.suppress(FileNotFoundError):
            return place.read_text(encoding="ascii")
        password = os.urandom(24).hex()
        write_private_file(place, password.encode())
        return password

    def admin_token(self) -> str:
        """The administrator's token: the one in `admin.env`, or a new one."""
        with contextlib.suppress(FileNotFoundError):
            for line in (self.path / ADMIN_ENV).read_text(encoding="utf-8").splitlines():
                if line.startswith("CALLBOARD_TOKEN="):
                    return line.partition("=")[2]
        return compose(os.urandom(40))

    def write_admin_env(self, url: str, token: str) -> None:
        """Where the commands of this machine's administrator find Callboard."""
        text = f"CALLBOARD_URL={url}\nCALLBOARD_TOKEN={token}\n"
        write_private_file(self.path / ADMIN_ENV, text.encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the directory for this process; `LocalServerError` names the one that has it."""
        descriptor = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 32).decode(errors="replace").strip() or "?"
                raise LocalServerError(
                    f"another `callboard up` (process {holder}) runs on {self.path}; "
                    "stop it, or choose another directory with --data-dir"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)
