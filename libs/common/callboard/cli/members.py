"""`callboard member`, `callboard project` and `callboard me`."""

from __future__ import annotations

from argparse import Namespace

from callboard.cli.access import duration
from callboard.cli.exit_codes import OK
from callboard.cli.output import Output
from callboard.cli.target import connect, organisation_of, reference_of
from callboard.client import Callboard
from callboard.contracts.problems import Problem


def me(args: Namespace, out: Output) -> int:
    """`me`."""
    with connect(args) as callboard:
        found = callboard.me()
    if out.as_json:
        out.json(found)
        return OK
    name = found.person.email if found.person is not None else found.client
    out.talk(f"{name}, key {found.key_id}" + (", administers the installation" if found.administers else ""))
    rows = [(organisation, rights) for organisation, rights in sorted(found.organisations.items())]
    out.table(("organisation", "may"), rows, "" if found.administers else "no organisation")
    return OK


def list_members(args: Namespace, out: Output) -> int:
    """`member ls`."""
    with connect(args) as callboard:
        found = callboard.members(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
        return OK
    rows = [(m.member, m.kind, m.role, m.permissions, m.email, m.name, m.since) for m in found.members]
    out.table(("member", "kind", "role", "and", "e-mail", "name", "since"), rows, "there is no member")
    if found.invitations:
        out.text("")
        offers = [(i.invitation, i.role, i.permissions, i.email, i.expires_at) for i in found.invitations]
        out.table(("invitation", "role", "and", "for", "expires"), offers)
    return OK


def invite(args: Namespace, out: Output) -> int:
    """`member invite`: the token of the link alone on stdout."""
    seconds = duration(args.expires)
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        made = callboard.invite(organisation, args.role, args.permission, args.email, seconds)
        url = callboard.url
    if out.as_json:
        out.json(made)
    else:
        out.text(made.token)
    out.talk(
        f"invitation {made.invitation} as {made.role}, until {made.expires_at:%Y-%m-%d %H:%M} UTC, shown this once"
    )
    out.talk(f"who has it opens {url}/join?invitation=TOKEN in a browser,")
    out.talk(f"or joins with `callboard login EMAIL --url {url} --invitation TOKEN`")
    return OK


def withdraw(args: Namespace, out: Output) -> int:
    """`member withdraw`."""
    with connect(args) as callboard:
        done = callboard.withdraw_invitation(organisation_of(args, callboard), args.invitation)
    if out.as_json:
        out.json(done)
    out.talk(f"withdrew invitation {args.invitation}")
    return OK


def give_role(args: Namespace, out: Output) -> int:
    """`member role`."""
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        done = callboard.give_role(organisation, args.member, args.role, args.permission, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"{args.member} is {args.role} now" if done.seq else "nothing changed")
    return OK


def remove(args: Namespace, out: Output) -> int:
    """`member rm`."""
    with connect(args) as callboard:
        done = callboard.remove_member(organisation_of(args, callboard), args.member, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"removed {args.member}; its tokens are refused")
    return OK


def add_account(args: Namespace, out: Output) -> int:
    """`member add-account`."""
    with connect(args) as callboard:
        organisation = organisation_of(args, callboard)
        done = callboard.create_service_account(organisation, args.account, args.role, args.permission)
    if out.as_json:
        out.json(done)
    out.talk(f"created service account {args.account}; `callboard token issue {args.account}` gives it a token")
    return OK


def reset_password(args: Namespace, out: Output) -> int:
    """`member reset-password`: the token of the link alone on stdout."""
    with connect(args) as callboard:
        offered = callboard.offer_reset(args.email)
        url = callboard.url
    if out.as_json:
        out.json(offered)
    else:
        out.text(offered.token)
    out.talk(f"good once, until {offered.expires_at:%H:%M} UTC, at POST {url}/api/v1/password-resets/use")
    return OK


def list_projects(args: Namespace, out: Output) -> int:
    """`project ls`."""
    with connect(args) as callboard:
        found = callboard.projects(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
    else:
        rows = [(line.project, line.title, line.playbooks) for line in found.projects]
        out.table(("project", "title", "playbooks"), rows, "there is no project")
    return OK


def create_project(args: Namespace, out: Output) -> int:
    """`project create`."""
    with connect(args) as callboard:
        done = callboard.create_project(organisation_of(args, callboard), args.name, args.title)
    if out.as_json:
        out.json(done)
    out.talk(f"project {args.name} is there" if done.seq else "nothing changed")
    return OK


def assign_playbook(args: Namespace, out: Output) -> int:
    """`project assign`."""
    with connect(args) as callboard:
        organisation, playbook, _ = reference_of(args.playbook, args, callboard, version=False)
        done = callboard.assign_playbook(organisation, playbook, args.project)
        layers = _layers_of(callboard, organisation, playbook, args.project)
    if out.as_json:
        out.json(done)
    where = f"belongs to {args.project}" if args.project else "belongs to no project"
    out.talk(f"{organisation}/{playbook} {where}" if done.seq else "nothing changed")
    if layers:
        out.talk(layers)
    return OK


def _layers_of(callboard: Callboard, organisation: str, playbook: str, project: str) -> str:
    """A group is for people; which layer a playbook gets is published with it. Said where somebody may mix them up."""
    try:
        named = callboard.version(organisation, playbook).content.definition.project
    except Problem as problem:
        return f"it is not published (yet): {problem.message}" if problem.code == "playbook.unknown" else ""
    if named == project:
        return ""
    says = f"`project: {named}`" if named else "no `project:`"
    return f"its prompts and resources stay as they are: its definition has {says}, and that says which layer it gets"


def remove_project(args: Namespace, out: Output) -> int:
    """`project rm`."""
    with connect(args) as callboard:
        done = callboard.remove_project(organisation_of(args, callboard), args.name, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"dissolved {args.name}")
    return OK
