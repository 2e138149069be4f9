"""`callboard token`, `callboard secret` and `callboard consumer`."""

from __future__ import annotations

import getpass
import re
import sys
from argparse import Namespace
from pathlib import Path
from typing import Final

import msgspec

from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.refusals import WrongUsage
from callboard.cli.target import connect, organisation_of
from callboard.contracts.access import ConsumerAdmission
from callboard.kernel.names import is_slug
from callboard.kernel.permissions import selection_of

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def issue_token(args: Namespace, out: Output) -> int:
    """`token issue`: the token alone on stdout, how to use it on stderr."""
    seconds = duration(args.expires) if args.expires else None
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        scopes = tuple(args.scope or ("use",))
        issued = callboard.issue_token(organisation, args.client, scopes, args.playbook, seconds, person=args.person)
        url = callboard.url
    if out.as_json:
        out.json(issued)
    else:
        out.text(issued.token)
    out.talk(f"key {issued.key_id} for {issued.client}; this is the only time it is shown")
    if not is_slug(selection_of(issued.playbooks)):
        out.talk("it opens several playbooks; /mcp serves them as one, with names like PLAYBOOK__TOOL")
    out.talk(connect_line(f"{url}/mcp", "TOKEN"))
    return OK


def connect_line(url: str, token: str) -> str:
    """The line that connects Claude Code to an endpoint."""
    return f'claude mcp add --transport http callboard {url} --header "Authorization: Bearer {token}"'


def duration(text: str) -> int:
    """Seconds of a text like 30d; raises `WrongUsage`."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if found is None:
        raise WrongUsage(f"--expires {text!r}: write it like 30d, 12h, 15m or 60s")
    return int(found[1]) * _SECONDS[found[2]]


def list_tokens(args: Namespace, out: Output) -> int:
    """`token ls`."""
    with connect(args) as callboard:
        found = callboard.tokens(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
    else:
        columns = ("key", "client", "scopes", "playbooks", "bound to", "created", "used", "expires", "revoked")
        rows = [
            (
                *(t.key_id, t.client, t.scopes, t.playbooks or "all", t.member),
                *(t.created_at, t.used_at, t.expires_at, t.revoked_at),
            )
            for t in found.tokens
        ]
        out.table(columns, rows, "no token was issued")
    return OK


def rotate_token(args: Namespace, out: Output) -> int:
    """`token rotate`: the new token alone on stdout."""
    seconds = duration(args.overlap)
    with connect(args) as callboard:
        issued = callboard.rotate_token(organisation_of(args, callboard), args.key_id, seconds)
    if out.as_json:
        out.json(issued)
    else:
        out.text(issued.token)
    out.talk(f"key {issued.key_id} for {issued.client}; {args.key_id} works for {args.overlap} more")
    return OK


def revoke_token(args: Namespace, out: Output) -> int:
    """`token revoke`."""
    with connect(args) as callboard:
        done = callboard.revoke_token(organisation_of(args, callboard), args.key_id, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"revoked {args.key_id}" if done.seq else "it was revoked already")
    return OK


def store_secret(args: Namespace, out: Output) -> int:
    """`secret set`: the value comes from stdin, because a command line is seen by every user of the machine."""
    value = getpass.getpass(f"value of {args.name}: ") if sys.stdin.isatty() else sys.stdin.read()
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise WrongUsage("the value is read from stdin, and it was empty")
    with connect(args) as callboard:
        done = callboard.store_secret(organisation_of(args, callboard), args.name, value)
    if out.as_json:
        out.json(done)
    out.talk(f"stored {args.name}")
    return OK


def list_secrets(args: Namespace, out: Output) -> int:
    """`secret ls`."""
    with connect(args) as callboard:
        found = callboard.secrets(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
    else:
        rows = [(s.secret, s.version, s.stored_at) for s in found.secrets]
        out.table(("secret", "version", "stored"), rows, "the vault is empty")
    return OK


def destroy_secret(args: Namespace, out: Output) -> int:
    """`secret rm`."""
    with connect(args) as callboard:
        done = callboard.destroy_secret(organisation_of(args, callboard), args.name)
    if out.as_json:
        out.json(done)
    out.talk(f"destroyed {args.name}" if done.seq else "nothing changed")
    return OK


def admit_consumer(args: Namespace, out: Output) -> int:
    """`consumer add`: the credentials on stdout, or in a file."""
    with connect(args) as callboard:
        admission = callboard.admit_consumer(organisation_of(args, callboard), args.name)
    if args.out is not None:
        from callboard.platform.bus_identity import write_private_file

        path = Path(args.out)
        write_private_file(path, admission.credentials.encode())
    if out.as_json:
        shown = admission if args.out is None else msgspec.structs.replace(admission, credentials="")
        out.json(shown)
    else:
        out.text(args.out if args.out is not None else admission.credentials.rstrip())
    _explain(admission, out)
    return OK


def _explain(admission: ConsumerAdmission, out: Output) -> None:
    out.talk(
        f"consumer {admission.consumer} connects to {admission.url}; this is the only time its credentials are shown"
    )
    for subject, (stream, durable) in admission.durables.items():
        out.talk(f"  {subject}: durable consumer {durable} of stream {stream}")
    if admission.inbox_prefix:
        out.talk(f"  inbox prefix {admission.inbox_prefix}")


def list_consumers(args: Namespace, out: Output) -> int:
    """`consumer ls`."""
    with connect(args) as callboard:
        found = callboard.consumers(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
    else:
        rows = [(c.consumer, c.public_key, c.admitted_at) for c in found.consumers]
        out.table(("consumer", "public key", "admitted"), rows, "there is no consumer")
    return OK


def dismiss_consumer(args: Namespace, out: Output) -> int:
    """`consumer rm`."""
    with connect(args) as callboard:
        done = callboard.dismiss_consumer(organisation_of(args, callboard), args.name)
    if out.as_json:
        out.json(done)
    out.talk(f"dismissed {args.name}" if done.seq else "nothing changed")
    return OK
