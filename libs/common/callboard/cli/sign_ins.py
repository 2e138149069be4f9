"""`callboard server connect`, `connections`, `disconnect`: signing in to upstream servers."""

from __future__ import annotations

from argparse import Namespace

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.target import connect, reference_of


def connect_server(args: Namespace, out: Output) -> int:
    """`server connect`: print a link for a browser."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        link = callboard.open_sign_in(organisation, name, own=args.own)
    if out.as_json:
        out.json(link)
    else:
        out.text(link.url)
    out.talk(f"open this in a browser before {link.expires_at:%H:%M:%S} UTC to sign in to {organisation}/{name}")
    return OK


def list_connections(args: Namespace, out: Output) -> int:
    """`server connections`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        found = callboard.sign_ins(organisation, name)
    if out.as_json:
        out.json(found)
    else:
        columns = ("for", "state", "authorization server", "scopes", "since")
        rows = [(g.subject or "(all)", g.state, g.issuer, " ".join(g.scopes), g.updated_at) for g in found.grants]
        out.table(columns, rows, "nobody is signed in to this server")
    return OK


def disconnect_server(args: Namespace, out: Output) -> int:
    """`server disconnect`."""
    with connect(args) as callboard:
        organisation, name, _ = reference_of(args.name, args, callboard, version=False)
        done = callboard.sign_out(organisation, name, args.client)
    if out.as_json:
        out.json(done)
    out.talk(f"signed out of {organisation}/{name}")
    return OK
