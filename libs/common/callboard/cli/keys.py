"""`callboard keys DIR`: the keys of an installation that is not `callboard up`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output


def keys(args: Namespace, out: Output) -> int:
    """Make the folder for each service; what exists is kept."""
    from callboard.local.keys import make_keys

    directory = Path(args.directory)
    fresh = make_keys(directory, args.url, Path(args.nats_data))
    if out.as_json:
        out.json({"directory": str(directory), "made": fresh})
    out.talk(f"made keys in {directory}" if fresh else f"{directory} has its keys already; credentials were renewed")
    out.talk(f"the administrator's token is in {directory / 'admin' / 'admin.env'}")
    return OK
