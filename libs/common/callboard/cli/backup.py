"""`callboard backup` and `callboard restore`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.refusals import Refused, WrongUsage
from callboard.cli.target import DEFAULT_DATA_DIR, settings

if TYPE_CHECKING:
    from callboard.platform.backup import Manifest

_NO_KEY: Final = (
    "Without the backed-up installation's key file no token is valid any more, and no secret can be opened."
)
_KEY: Final = "the vault's key file is not in it; keep it apart, or nobody can open the secrets"


def back_up(args: Namespace, out: Output) -> int:
    """`backup FILE`: of the running or stopped installation; the file must not exist."""
    from callboard.platform.backup import back_up as write

    with _new_file(args.file) as file, _database(args, out) as dsn:
        manifest = asyncio.run(write(dsn, file, out.talk, calls=not args.no_calls))
        file.flush()
        os.fsync(file.fileno())
    _told(manifest, f"backed up to {args.file}", out)
    out.talk(_KEY)
    return OK


def restore(args: Namespace, out: Output) -> int:
    """`restore FILE`: into an empty database; either all of it or nothing."""
    from callboard.local.database import migrate
    from callboard.platform.backup import BadBackup, NotEmpty
    from callboard.platform.backup import restore as fill

    path = Path(args.file)
    if not path.is_file():
        raise WrongUsage(f"there is no file {args.file}")

    erased = frozenset(who for name in args.erasures for who in _erasures(name))

    async def filled(dsn: str) -> Manifest:
        await migrate(dsn)
        return await fill(dsn, path, out.talk, erased)

    try:
        with _database(args, out, alone=True) as dsn:
            manifest = asyncio.run(filled(dsn))
    except BadBackup as error:
        raise Refused(f"{args.file}: {error}; nothing was restored") from None
    except NotEmpty:
        raise Refused("the database is not empty: restore into a new one (or another --data-dir)") from None
    _told(manifest, f"restored {args.file}", out)
    out.talk(key_to_bring(args))
    return OK


def key_to_bring(args: Namespace) -> str:
    """What else the first start needs; without it nothing fails at once, and no token is known any more."""
    if settings().database_url and args.data_dir is None:
        return f"{_NO_KEY} Name it with CALLBOARD_AUTHSVC_KEY_FILE before the first start."
    from callboard.local.data_dir import DataDirectory

    key = DataDirectory(Path(args.data_dir or DEFAULT_DATA_DIR)).vault_key
    if key.exists():
        return f"the vault's key is {key}: it has to be that of the installation that was backed up"
    return f"WARNING: there is no {key}. {_NO_KEY} Put it there before the first start, which makes a new one."


def _erasures(name: str) -> set[tuple[str, str]]:
    from callboard.kernel.log_export import NotAnExport, erased_in

    try:
        with open(name, "rb") as file:
            return erased_in(file)
    except OSError as error:
        raise WrongUsage(f"cannot read {name}: {error.strerror}") from None
    except NotAnExport as error:
        raise WrongUsage(f"{name}: {error}") from None


def _told(manifest: Manifest, words: str, out: Output) -> None:
    if out.as_json:
        out.json(manifest)
    events = sum(seq for seq, _ in manifest.heads.values())
    out.talk(f"{words}: {events} events of {len(manifest.heads)} organisations")


@contextmanager
def _new_file(name: str) -> Iterator[Any]:
    """A file for its owner only (it holds verifiers of tokens); gone again when the backup fails."""
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WrongUsage(f"cannot write {name}: {error.strerror}") from None
    with open(descriptor, "wb") as file:
        try:
            yield file
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def _database(args: Namespace, out: Output, *, alone: bool = False) -> Iterator[str]:
    """The database: CALLBOARD_DATABASE_URL, else the one of the data directory, which is started when it is not up.

    `alone`: nobody else may use the data directory meanwhile.
    """
    url = settings().database_url
    if url and args.data_dir is None:
        yield url
        return
    from callboard.local.data_dir import DataDirectory
    from callboard.local.database import DATABASE, create
    from callboard.local.postgres_server import EmbeddedPostgres
    from callboard.platform.bus_identity import write_private_file

    place = Path(args.data_dir or DEFAULT_DATA_DIR)
    if not alone and not (place / "postgres").exists():
        raise WrongUsage(f"{place} holds no database: give --data-dir DIR or set CALLBOARD_DATABASE_URL")
    directory = DataDirectory(place)
    server = EmbeddedPostgres(directory.postgres)
    with contextlib.ExitStack() as leaving:
        if alone or not server.is_ready():
            leaving.enter_context(directory.locked())
            out.talk("starting the database")
            leaving.enter_context(server)
            server.wait_ready()
        if alone:
            asyncio.run(create(server.dsn))
        yield server.dsn_for(DATABASE)
        if alone:
            # What was restored is what there is: the first start must not add the demo.
            write_private_file(directory.furnished, b"")
