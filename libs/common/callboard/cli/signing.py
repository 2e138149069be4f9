"""`callboard signing-key`: the keys that sign access tokens."""

from __future__ import annotations

from argparse import Namespace

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.target import connect
from callboard.contracts.signing import SigningKeys


def list_keys(args: Namespace, out: Output) -> int:
    """`signing-key ls`."""
    with connect(args) as callboard:
        found = callboard.signing_keys()
    _show(found, out)
    return OK


def rotate(args: Namespace, out: Output) -> int:
    """`signing-key rotate`."""
    with connect(args) as callboard:
        found = callboard.rotate_signing_key(args.message or "", at_once=args.now)
    _show(found, out)
    if args.now:
        out.talk("every access token from before is refused; clients get another one with their refresh tokens")
    else:
        out.talk(f"{found.keys[-1].kid} signs from {found.keys[-1].signs_from:%Y-%m-%d %H:%M} UTC")
    return OK


def _show(found: SigningKeys, out: Output) -> None:
    if out.as_json:
        out.json(found)
    else:
        rows = [(key.kid, f"{key.signs_from:%Y-%m-%d %H:%M}") for key in found.keys]
        out.table(("key", "signs from (UTC)"), rows, "there is no signing key yet")
