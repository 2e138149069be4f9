"""`callboard grant` and `callboard oauth-client`: what clients that came by OAuth may do, and for whom."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.target import connect, organisation_of


def list_grants(args: Namespace, out: Output) -> int:
    """`grant ls`."""
    with connect(args) as callboard:
        found = callboard.own_grants() if args.mine else callboard.grants(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
        return OK
    rows = [
        (g.grant, g.member, g.client_name or g.client_id, g.playbook or g.resource, g.scopes, g.used_at, g.reason)
        for g in found.grants
    ]
    out.table(("grant", "member", "client", "playbook", "scopes", "used", "ended by"), rows, "there is no grant")
    return OK


def revoke_grant(args: Namespace, out: Output) -> int:
    """`grant revoke`."""
    with connect(args) as callboard:
        if args.mine:
            done = callboard.revoke_own_grant(args.grant, args.message)
        else:
            done = callboard.revoke_grant(organisation_of(args, callboard), args.grant, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"{args.grant} is over" if done.seq else f"{args.grant} was over already")
    return OK


def list_clients(args: Namespace, out: Output) -> int:
    """`oauth-client ls`."""
    with connect(args) as callboard:
        found = callboard.service_clients(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
        return OK
    rows = [(c.client_id, c.account, c.title, c.auth_method, c.used_at) for c in found.clients]
    out.table(("client", "account", "title", "shows itself by", "used"), rows, "there is no client")
    return OK


def add_client(args: Namespace, out: Output) -> int:
    """`oauth-client add`: id and secret on stdout, each on a line."""
    keys = Path(args.public_keys).read_text("utf-8") if args.public_keys else ""
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        made = callboard.add_service_client(organisation, args.account, args.title, keys)
    if out.as_json:
        out.json(made)
        return OK
    out.text(made.client_id)
    if made.client_secret:
        out.text(made.client_secret)
    out.talk(f"it acts as {args.account}" + ("; its secret is shown this once" if made.client_secret else ""))
    return OK


def remove_client(args: Namespace, out: Output) -> int:
    """`oauth-client rm`."""
    with connect(args) as callboard:
        done = callboard.remove_service_client(organisation_of(args, callboard), args.client_id)
    if out.as_json:
        out.json(done)
    out.talk(f"{args.client_id} is refused from now on")
    return OK
