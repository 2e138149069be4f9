"""What every command line has: how a command, a group of them and their common options are declared."""

from __future__ import annotations

import argparse
from typing import Any, Final

from callboard.cli.exit_codes import EXPLAINED

REFERENCE: Final = "[ORG/]NAME"
Commands = Any  # argparse gives its sub-parsers no public type


def command(commands: Commands, name: str, function: str, text: str, *, org: bool = False) -> argparse.ArgumentParser:
    """One command, run by `function` (`module:function`); `org`: it is about one organisation."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=f"callboard.cli.{function}", org=None)
    parser.add_argument("--json", action="store_true", help="print data as JSON")
    parser.add_argument("--data-dir", metavar="DIR", help="read DIR/admin.env instead of CALLBOARD_URL and _TOKEN")
    if org:
        parser.add_argument("--org", help="the organisation (default: CALLBOARD_ORG, or the only one)")
    return parser


def group(commands: Commands, name: str, text: str) -> Commands:
    """Commands under one word."""
    parser = commands.add_parser(name, help=text)
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def why(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """`-m WHY`."""
    parser.add_argument("-m", "--message", metavar="WHY", default="", required=required, help="why; kept in the log")


def exit_code(parser: argparse.ArgumentParser) -> None:
    """`--exit-code`."""
    parser.add_argument("--exit-code", action="store_true", help="exit with 4 when something changes (for CI)")
