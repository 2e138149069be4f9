"""The commands about who may do what."""

from __future__ import annotations

import argparse
from typing import Final

from callboard.cli.parsing import REFERENCE, Commands, command, group, why

# As `kernel.permissions` has them; that is not imported, so that `--help` stays quick.
ROLES: Final = ("user", "viewer", "operator", "manager", "admin", "owner")
PLANS: Final = ("free", "team", "business", "unlimited")


def add_people(commands: Commands) -> None:
    """`login`, `me`, `member`, `project`, `grant` and `oauth-client`."""
    login = command(commands, "login", "login:login", "sign in, and print a key of your own", org=True)
    login.add_argument("email")
    login.add_argument("--url", default="", help="where Callboard is (default: CALLBOARD_URL, or that of --data-dir)")
    login.add_argument("--invitation", default="", metavar="TOKEN", help="join by this invitation first")
    login.add_argument("--name", default="", help="with --invitation: how others see you")
    login.add_argument("--expires", default="30d", metavar="TIME", help="like 30d or 12h (default: 30d)")
    command(commands, "me", "members:me", "say whom the token stands for, and what it may do where")
    member = group(commands, "member", "who belongs to an organisation, and as what")
    command(member, "ls", "members:list_members", "list members and open invitations", org=True)
    text = "make a link by which one person joins; it is shown this once"
    invite = command(member, "invite", "members:invite", text, org=True)
    _role(invite)
    invite.add_argument("--email", default="", metavar="ADDRESS", help="the only address that may use it")
    invite.add_argument("--expires", default="7d", metavar="TIME", help="like 7d or 12h (default: 7d)")
    withdraw = command(member, "withdraw", "members:withdraw", "refuse an invitation from now on", org=True)
    withdraw.add_argument("invitation")
    role = command(member, "role", "members:give_role", "give a member another role", org=True)
    role.add_argument("member")
    _role(role)
    why(role, required=False)
    remove = command(member, "rm", "members:remove", "remove a member, and refuse its tokens", org=True)
    remove.add_argument("member")
    why(remove, required=False)
    account = command(member, "add-account", "members:add_account", "make a member that is no person", org=True)
    account.add_argument("account", metavar="NAME")
    _role(account)
    reset = command(member, "reset-password", "members:reset_password", "make a link to set another password")
    reset.add_argument("email")
    _projects(commands)
    _grants(commands)


def _role(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--permission", action="append", default=[], metavar="NOUN:VERB", help="on top of the role")


def _projects(commands: Commands) -> None:
    project = group(commands, "project", "playbooks in groups")
    command(project, "ls", "members:list_projects", "list projects", org=True)
    create = command(project, "create", "members:create_project", "make a project, or title it otherwise", org=True)
    create.add_argument("name")
    create.add_argument("--title", default="")
    assign = command(project, "assign", "members:assign_playbook", "put a playbook into a project", org=True)
    assign.add_argument("playbook", metavar=REFERENCE)
    assign.add_argument("project", metavar="PROJECT", nargs="?", default="", help="default: into none")
    dissolve = command(project, "rm", "members:remove_project", "dissolve a project; its playbooks stay", org=True)
    dissolve.add_argument("name")
    why(dissolve, required=False)


def _grants(commands: Commands) -> None:
    grant = group(commands, "grant", "what clients that came by OAuth may do, and for whom")
    listed = command(grant, "ls", "grants:list_grants", "list them, the newest first", org=True)
    revoke = command(grant, "revoke", "grants:revoke_grant", "refuse all tokens of one from now on", org=True)
    for each in (listed, revoke):
        each.add_argument("--mine", action="store_true", help="your own, in whichever organisation")
    revoke.add_argument("grant")
    why(revoke, required=False)
    clients = group(commands, "oauth-client", "OAuth clients of service accounts")
    command(clients, "ls", "grants:list_clients", "list them", org=True)
    text = "make one that acts as a service account; its secret is shown this once"
    add = command(clients, "add", "grants:add_client", text, org=True)
    add.add_argument("account")
    add.add_argument("--title", default="", help="how it is listed (default: as the account)")
    add.add_argument("--public-keys", default="", metavar="FILE", help="a JWK set: it signs, and has no secret")
    remove = command(clients, "rm", "grants:remove_client", "refuse one, and all that it was granted", org=True)
    remove.add_argument("client_id", metavar="CLIENT")


def add_plans(org: Commands) -> None:
    """`org show` and `org plan`."""
    show = command(
        org, "show", "organisations:show_organisation", "show the plan, and how much of it is used", org=True
    )
    show.add_argument("name", metavar="ORG", nargs="?", default="", help="default: as with --org")
    plan = command(org, "plan", "organisations:choose_plan", "give an organisation a plan (administrators)")
    plan.add_argument("name", metavar="ORG")
    plan.add_argument("plan", metavar="PLAN", choices=PLANS, help=", ".join(PLANS))
    for what in ("playbooks", "servers", "calls-per-day"):
        plan.add_argument(f"--{what}", type=int, metavar="N", help="so many, whatever the plan says")
    why(plan, required=False)
