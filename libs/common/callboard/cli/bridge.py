"""`callboard bridge URL`: be an MCP server on stdin and stdout for a client that can only start one."""

from __future__ import annotations

import asyncio
import getpass
import logging
import sys
from argparse import Namespace
from pathlib import Path
from urllib.parse import urlsplit

from callboard.bridge.app import private_stdout, serve
from callboard.cli import keyring_tokens
from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.refusals import Refused, WrongUsage
from callboard.cli.target import DEFAULT_DATA_DIR, address_of, settings

_PORTS = {"http": 80, "https": 443}
_SAME = {"ws": "http", "wss": "https"}
"""A WebSocket begins as an HTTP request to the same place."""


def bridge(args: Namespace, out: Output) -> int:
    """`bridge`: ends when the client closes stdin. Only messages on stdout, everything else on stderr."""
    origin = _origin(args.url)
    if args.store_token or args.forget_token:
        return _change_keyring(args, out)
    token = _token(args, origin, out)
    messages = private_stdout()
    logging.basicConfig(stream=sys.stderr, format="callboard bridge: %(message)s", level=logging.WARNING)
    asyncio.run(serve(args.url, token, args.wait, 0, messages))
    return OK


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; a token is sent nowhere else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WrongUsage(f"{url!r} is not a URL") from None
    scheme = _SAME.get(parts.scheme, parts.scheme)
    if scheme not in _PORTS or not parts.hostname:
        raise WrongUsage(f"{url!r} is not an http, https, ws or wss URL")
    if parts.username or parts.password:
        raise WrongUsage("the URL holds a password, which other users of this machine can see; use --token-file")
    return scheme, parts.hostname, port or _PORTS[scheme]


def _token(args: Namespace, origin: tuple[str, str, int], out: Output) -> str:
    """From --token-file, --data-dir, CALLBOARD_TOKEN, ./.callboard or the keyring; empty when there is none."""
    if args.token_file:
        return _checked(_read(Path(args.token_file)))
    if args.data_dir:
        found = address_of(Path(args.data_dir))
        if found is None or _origin(found[0]) != origin:
            raise WrongUsage(f"{args.data_dir} is not the data directory of the Callboard at that URL")
        return found[1]
    environment = settings()
    if environment.token:
        if environment.url and _origin(environment.url) != origin:
            raise WrongUsage("CALLBOARD_TOKEN is for CALLBOARD_URL, which is another place; use --token-file")
        return _checked(environment.token)
    found = address_of(Path(DEFAULT_DATA_DIR))
    if found is not None and found[0] and _origin(found[0]) == origin:
        return found[1]
    return _from_keyring(args.url, out)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not a text'}") from None


def _checked(token: str) -> str:
    token = token.strip()
    if not all("!" <= c <= "~" for c in token):
        raise WrongUsage("the token holds characters that no token has")
    return token


def _from_keyring(url: str, out: Output) -> str:
    try:
        found, why = keyring_tokens.find(url), "the keyring has none for this URL"
    except keyring_tokens.KeyringAway as away:
        found, why = "", str(away)
    if not found:
        out.talk(f"callboard bridge: going on without a token: CALLBOARD_TOKEN is not set, and {why}")
    return _checked(found)


def _change_keyring(args: Namespace, out: Output) -> int:
    """`--store-token` reads the token like a password, because every user of the machine sees a command line."""
    try:
        if args.forget_token:
            gone = keyring_tokens.forget(args.url)
            out.talk("the keyring has forgotten the token" if gone else "the keyring had no token for this URL")
            return OK
        token = _checked(getpass.getpass("token: ") if sys.stdin.isatty() else sys.stdin.read())
        if not token:
            raise WrongUsage("the token is read from stdin, and it was empty")
        keyring_tokens.store(args.url, token)
    except keyring_tokens.KeyringAway as away:
        raise Refused(f"{away}; set CALLBOARD_TOKEN or use --token-file in its place") from None
    out.talk(f"stored; `callboard bridge {args.url}` finds it there")
    return OK
