"""The commands about policies."""

from __future__ import annotations

from callboard.cli.parsing import REFERENCE, Commands, command, exit_code, group, why

_FILE = "`policies:` and, for a test, `expect:`; YAML (- for stdin)"


def add_policies(commands: Commands) -> None:
    """`policy`."""
    policy = group(commands, "policy", "who may use what, with which arguments, when and how often")
    command(policy, "ls", "policies:list_policies", "list policies, and servers that are switched off", org=True)
    show = command(policy, "show", "policies:show", "show a policy and its history", org=True)
    show.add_argument("name")
    put = command(policy, "set", "policies:set_policies", "set the policies of a file", org=True)
    put.add_argument("names", metavar="NAME", nargs="*", help="only these of the file (default: all)")
    put.add_argument("-f", "--file", required=True, metavar="FILE", help=_FILE)
    why(put, required=False)
    put.add_argument("--dry-run", action="store_true", help="only say whether they would be accepted")
    remove = command(policy, "rm", "policies:remove", "let a policy hold no more", org=True)
    remove.add_argument("name")
    why(remove)
    explain = command(
        policy, "explain", "policies:explain", "say whether somebody may, and which rule decides", org=True
    )
    explain.add_argument("playbook", metavar=REFERENCE)
    explain.add_argument("name", metavar="THING", help="the name that agents see, or the URI of a resource")
    explain.add_argument("--kind", choices=("tool", "prompt", "resource"), default="tool")
    explain.add_argument(
        "--as", dest="client", default="", metavar="CLIENT", help="the name of a token or OAuth client"
    )
    explain.add_argument("--key", default="", metavar="ID", help="this token, its client and its member")
    explain.add_argument("--member", default="", metavar="ID", help="this person or service account")
    explain.add_argument("--json-args", default="", metavar="JSON", help="with these arguments")
    explain.add_argument("--at", default="", metavar="TIME", help="at this time (default: now)")
    test = command(policy, "test", "policies:test", "try a file of policies without setting them", org=True)
    test.add_argument("-f", "--file", required=True, metavar="FILE", help=_FILE)
    test.add_argument("--days", type=float, default=0.0, metavar="N", help="also on the recorded calls of so many days")
    test.add_argument("--only", action="store_true", help="in place of the policies there are, not besides them")
    exit_code(test)


def add_switches(server: Commands) -> None:
    """`server off` and `server on`."""
    for word, text in (
        ("off", "take everything of a server away from the whole organisation"),
        ("on", "give everything of a server back"),
    ):
        switch = command(server, word, f"policies:switch_{word}", text, org=True)
        switch.add_argument("name", metavar=REFERENCE)
        why(switch)
