"""`callboard login`: from a password (and perhaps an invitation) to a key of one's own."""

from __future__ import annotations

import getpass
import sys
from argparse import Namespace

from callboard.cli.access import duration
from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.refusals import Refused, WrongUsage
from callboard.cli.target import address
from callboard.client.login import Login
from callboard.contracts.people_management import Me
from callboard.contracts.problems import Problem


def login(args: Namespace, out: Output) -> int:
    """The key alone on stdout. The password comes from the terminal or stdin, never from the command line."""
    seconds = duration(args.expires)
    password = getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise WrongUsage("the password is read from stdin, and it was empty")
    with Login(args.url or address(args)[0]) as session:
        me = _signed_in(session, args, password)
        issued = session.issue_key(me, _organisation(me, args.org), seconds)
        url = session.url
    if out.as_json:
        out.json(issued)
    else:
        out.text(issued.token)
    out.talk(f"key {issued.key_id} for {args.email}, for {args.expires}; it allows what you may do, and no more")
    out.talk(f"use it with CALLBOARD_URL={url} CALLBOARD_TOKEN=…")
    return OK


def _signed_in(session: Login, args: Namespace, password: str) -> Me:
    if not args.invitation:
        return session.sign_in(args.email, password)
    try:
        return session.register(args.invitation, args.email, password, args.name)
    except Problem as problem:
        if problem.code != "person.exists":
            raise
    session.sign_in(args.email, password)
    session.accept(args.invitation)
    return session.me()


def _organisation(me: Me, chosen: str | None) -> str:
    names = sorted(me.organisations)
    if chosen in names:
        return str(chosen)
    if chosen:
        raise Refused(f"you do not belong to {chosen}")
    if len(names) == 1:
        return names[0]
    if not names:
        raise Refused("you belong to no organisation; ask for an invitation")
    raise WrongUsage(f"you belong to several organisations ({', '.join(names)}): choose one with --org")
