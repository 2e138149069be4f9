"""Which Callboard a command speaks to, and which organisation it means.

`--data-dir DIR` (DIR/admin.env) wins over CALLBOARD_URL and CALLBOARD_TOKEN, and those over `./.callboard`.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from callboard.cli.refusals import Refused, WrongUsage
from callboard.kernel.names import split_reference
from callboard.platform.settings import CommonSettings, Sensitive, load

if TYPE_CHECKING:
    from callboard.client import Callboard

DEFAULT_DATA_DIR: Final = ".callboard"
ADMIN_ENV: Final = "admin.env"


class CliSettings(CommonSettings, frozen=True, kw_only=True):
    """`CALLBOARD_URL`, `CALLBOARD_TOKEN` and `CALLBOARD_ORG`."""

    url: str = ""
    token: Sensitive = Sensitive("")
    org: str = ""
    database_url: str = ""


def settings() -> CliSettings:
    """What the environment says."""
    return load(CliSettings, "cli")


def connect(args: Namespace) -> Callboard:
    """The Callboard that the command line and the environment name."""
    # Imported here: commands that speak to no Callboard start without a HTTP client.
    from callboard.client import Callboard

    url, token = address(args)
    return Callboard(url, token)


def address_of(data_dir: Path) -> tuple[str, str] | None:
    """URL and token of the Callboard that keeps its data there; None when it was never started."""
    try:
        lines = (data_dir / ADMIN_ENV).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise WrongUsage(f"{data_dir / ADMIN_ENV} belongs to another user") from None
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values.get("CALLBOARD_URL", ""), values.get("CALLBOARD_TOKEN", "")


def address(args: Namespace) -> tuple[str, str]:
    """URL and token that the command line and the environment name."""
    if args.data_dir is not None:
        found = address_of(Path(args.data_dir))
        if found is None:
            raise WrongUsage(f"{args.data_dir} holds no {ADMIN_ENV}; `callboard up --data-dir` makes it")
        return found
    environment = settings()
    if environment.url:
        return environment.url, environment.token
    found = address_of(Path(DEFAULT_DATA_DIR))
    if found is None:
        raise WrongUsage("say which Callboard: set CALLBOARD_URL and CALLBOARD_TOKEN, or give --data-dir DIR")
    return found


def organisation_of(args: Namespace, callboard: Callboard) -> str:
    """`--org`, else CALLBOARD_ORG, else the only organisation there is."""
    chosen = args.org or settings().org
    if chosen:
        return str(chosen)
    names = [line.organisation for line in callboard.organisations().organisations]
    if len(names) == 1:
        return names[0]
    if not names:
        raise Refused("there is no organisation yet; `callboard org create NAME` or `callboard apply` makes one")
    raise WrongUsage(f"there are several organisations ({', '.join(names)}): choose one with --org")


def reference_of(text: str, args: Namespace, callboard: Callboard, *, version: bool = True) -> tuple[str, str, int]:
    """`[ORG/]NAME[@N]` as (organisation, name, version); version 0 when none is named."""
    organisation = "" if "/" in text else organisation_of(args, callboard)
    try:
        found = split_reference(text, organisation)
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    if found[2] and not version:
        raise WrongUsage(f"{text!r}: no version can be chosen here")
    return found
