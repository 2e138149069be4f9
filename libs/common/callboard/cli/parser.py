"""The command line: which commands there are, what they take, and which function runs them.

A command is named as `module:function` and imported only when it is chosen.
"""

from __future__ import annotations

import argparse
from typing import Final

from callboard import __version__
from callboard.cli.exit_codes import EXPLAINED
from callboard.cli.parser_drafts import add_drafts, add_layers
from callboard.cli.parser_people import add_people, add_plans
from callboard.cli.parser_policies import add_policies, add_switches
from callboard.cli.parser_webhooks import add_webhooks
from callboard.cli.parsing import REFERENCE as _REFERENCE
from callboard.cli.parsing import Commands
from callboard.cli.parsing import command as _command
from callboard.cli.parsing import exit_code as _exit_code
from callboard.cli.parsing import group as _group
from callboard.cli.parsing import why as _why

ROOMS: Final = ("edge", "router", "connectors", "authsvc", "projections")
# As `contracts.calls` has them; that is not imported, so that `--help` stays quick.
OUTCOMES: Final = ("ok", "tool_error", "error", "refused", "timeout", "cancelled", "unknown")
_WAIT: Final = "how long a request waits for an endpoint that is away (default: %(default)g)"


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="callboard",
        description="An MCP gateway: one endpoint per playbook, every change an event, every version kept.",
        epilog=EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"callboard {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        _run, _apply, _organisations, _playbooks, add_drafts, add_layers, _drift, _mcp, _records, _access, add_people,
        add_policies, add_webhooks, _installation, _tools,
    ):  # fmt: skip
        add(commands)
    return parser


def _run(commands: Commands) -> None:
    up = _command(commands, "up", "up:up", "start everything on this machine")
    up.add_argument("--host", default="127.0.0.1", help="address the edge listens on (default: %(default)s)")
    up.add_argument("--port", type=int, default=8700, help="port of the first edge (default: %(default)s)")
    up.add_argument("--file", metavar="FILE", help="apply this file instead of the demo")
    up.add_argument(
        "--replicas",
        default="1",
        metavar="N[,SERVICE=N...]",
        help="processes of each service, and of single ones, for example 2,connectors=3 (default: 1)",
    )
    up.add_argument("--nats-url", metavar="URL", help="use this NATS instead of starting one")
    up.add_argument("--nats-credentials", metavar="DIR", help="with --nats-url: DIR/<service>.creds for each service")
    up.add_argument("--database-url", metavar="URL", help="use this Postgres instead of starting one")
    up.add_argument("--no-demo", action="store_true", help="do not make the demo organisation")
    up.add_argument("--otlp", metavar="URL", help="send traces to this OpenTelemetry collector (OTLP over HTTP)")
    up.add_argument(
        "--trace-share", type=float, metavar="SHARE", help="with --otlp: which part of the calls, 0 to 1 (default: 1)"
    )
    run = _command(commands, "run", "rooms:run", "run one service in this process")
    run.add_argument("room", choices=ROOMS)
    _command(commands, "migrate", "rooms:migrate", "bring the database of CALLBOARD_DATABASE_URL up to date")
    keys = _command(commands, "keys", "keys:keys", "make the keys of an installation that is not `callboard up`")
    keys.add_argument("directory", metavar="DIR", help="gets a folder for each service")
    keys.add_argument("--url", default="http://127.0.0.1:8700", help="where the administrator reaches the edge")
    keys.add_argument("--nats-data", default="/data", metavar="DIR", help="where the NATS server keeps its state")
    health = _command(commands, "health", "rooms:health", "ask the service of this host whether it is ready")
    health.add_argument("room", choices=ROOMS)


def _apply(commands: Commands) -> None:
    apply = _command(commands, "apply", "apply:apply", "make servers and playbooks look like a file")
    which = apply.add_mutually_exclusive_group(required=True)
    which.add_argument("-f", "--file", metavar="FILE", help="the file, or - for stdin")
    which.add_argument("--watch", metavar="FILE", help="apply it now and whenever it changes, until Ctrl-C")
    _why(apply, required=False)
    apply.add_argument("--dry-run", action="store_true", help="only say what would change")
    _exit_code(apply)
    apply.add_argument("--accept-drift", action="store_true", help="also show what servers changed since")
    apply.add_argument("--prune", action="store_true", help="retire what is not in the file")
    apply.add_argument("--draft", action="store_true", help="put the playbooks into their drafts; publish nothing")


def _organisations(commands: Commands) -> None:
    org = _group(commands, "org", "organisations")
    _command(org, "ls", "organisations:list_organisations", "list organisations")
    create = _command(org, "create", "organisations:create_organisation", "create an organisation")
    create.add_argument("name")
    create.add_argument("--title", default="")
    add_plans(org)
    server = _group(commands, "server", "upstream MCP servers")
    _command(server, "ls", "organisations:list_servers", "list servers", org=True)
    sign_in = _command(server, "connect", "sign_ins:connect_server", "print a link to sign in to a server", org=True)
    sign_in.add_argument("name", metavar=_REFERENCE)
    sign_in.add_argument("--own", action="store_true", help="for the calls of this token's client, not for all callers")
    signed_in = _command(server, "connections", "sign_ins:list_connections", "list who is signed in", org=True)
    signed_in.add_argument("name", metavar=_REFERENCE)
    out = _command(server, "disconnect", "sign_ins:disconnect_server", "sign out of a server", org=True)
    out.add_argument("name", metavar=_REFERENCE)
    out.add_argument("--client", default="", help="whose sign-in (default: the one for all callers)")
    add_switches(server)
    retire = _command(server, "rm", "organisations:retire_server", "forget a server", org=True)
    retire.add_argument("name", metavar=_REFERENCE)
    _why(retire)


def _playbooks(commands: Commands) -> None:
    group = _group(commands, "playbook", "playbooks and their versions")
    _command(group, "ls", "playbooks:list_playbooks", "list playbooks", org=True)
    history = _command(group, "history", "playbooks:history", "list every version", org=True)
    history.add_argument("name", metavar=_REFERENCE)
    show = _command(group, "show", "playbooks:show", "show one version", org=True)
    show.add_argument("name", metavar=f"{_REFERENCE}[@N]")
    show.add_argument("--at", metavar="TIME", help="the version that was served then, like '14:05 last tuesday'")
    diff = _command(group, "diff", "playbooks:diff", "show what changes between two versions", org=True)
    diff.add_argument("before", metavar=f"{_REFERENCE}[@N]")
    diff.add_argument("after", metavar=f"{_REFERENCE}[@N]", nargs="?", help="default: the current version")
    diff.add_argument("--days", type=int, default=7, metavar="N", help="name the callers of so many days (default: 7)")
    _exit_code(diff)
    _rollbacks(group)
    _assignments(group)
    _canary(group)
    _previews(group)
    export = _command(group, "export", "exchange:export", "print a playbook with its whole history", org=True)
    export.add_argument("name", metavar=_REFERENCE)
    export.add_argument("--out", metavar="FILE", help="write to a new file instead")
    bring = _command(group, "import", "exchange:bring_in", "make a playbook with its history from a file", org=True)
    bring.add_argument("file", metavar="FILE", help="what `playbook export` wrote, or - for stdin")
    bring.add_argument("--name", metavar="NAME", help="call it otherwise here")
    servers = "register the servers that are missing here as the file has them: it may start programs of its choice"
    bring.add_argument("--register-servers", action="store_true", help=servers)
    _why(bring)
    retire = _command(group, "rm", "playbooks:retire", "stop serving a playbook; its versions stay", org=True)
    retire.add_argument("name", metavar=_REFERENCE)
    _why(retire)


def _rollbacks(group: Commands) -> None:
    rollback = _command(group, "rollback", "rollbacks:roll_back", "publish an old version's content again", org=True)
    rollback.add_argument("name", metavar=_REFERENCE)
    rollback.add_argument("--to", type=int, required=True, metavar="N", help="the version whose content to publish")
    rollback.add_argument("--expected", type=int, metavar="N", help="refuse unless N is the current version")
    undo = _command(group, "undo", "rollbacks:undo", "take the last change back", org=True)
    undo.add_argument("name", metavar=_REFERENCE)
    for parser in (rollback, undo):
        _why(parser, required=False)
        parser.add_argument("--dry-run", action="store_true", help="only say what would change, and whom it hurts")
        _exit_code(parser)


def _assignments(group: Commands) -> None:
    pin = _command(group, "pin", "pins:pin", "serve one client a version of its own", org=True)
    pin.add_argument("name", metavar=_REFERENCE)
    pin.add_argument("client", metavar="CLIENT", help="the name that its tokens were issued for")
    pin.add_argument("version", metavar="@N", help="the version; a URL with @N still wins")
    _why(pin)
    unpin = _command(group, "unpin", "pins:unpin", "serve one client what everybody is served", org=True)
    unpin.add_argument("name", metavar=_REFERENCE)
    unpin.add_argument("client", metavar="CLIENT")
    _why(unpin)
    pins = _command(group, "pins", "pins:list_pins", "list the clients that have a version of their own", org=True)
    pins.add_argument("name", metavar=_REFERENCE, nargs="?", help="default: all playbooks")


def _canary(group: Commands) -> None:
    text = "try a version on a share of the callers, until it is promoted or ended by itself"
    canary = _command(group, "canary", "canary:canary", text, org=True)
    canary.add_argument("name", metavar=_REFERENCE)
    what = "any version but the current one; to try a new one first, publish it and roll back at once"
    canary.add_argument("version", metavar="@N", nargs="?", help=what)
    canary.add_argument("--percent", type=float, metavar="P", help="the share of the callers (clients, not calls)")
    canary.add_argument("--until", metavar="TIME", help="promote it then, if it went well; like 2h or 2026-11-20T18:00")
    condition = "end it at once when this holds: errors|tool_errors|timeouts > N%%, p99 > Nms, joined by `or`"
    canary.add_argument("--rollback-if", metavar="CONDITION", help=condition)
    calls = "judge after so many calls; with fewer at its end it is not promoted (default: %(default)s)"
    canary.add_argument("--min-calls", type=int, default=50, metavar="N", help=calls)
    ending = canary.add_mutually_exclusive_group()
    ending.add_argument("--stop", action="store_true", help="serve everybody the current version again")
    ending.add_argument("--promote", action="store_true", help="publish what is tried now")
    _why(canary)


def _previews(group: Commands) -> None:
    text = "show exactly what a client's list requests return, and what is hidden and why"
    preview = _command(group, "preview", "previews:preview", text, org=True)
    preview.add_argument("name", metavar=f"{_REFERENCE}[@N]")
    preview.add_argument("--as", dest="client", required=True, metavar="CLIENT", help="the name on its tokens")
    preview.add_argument("--era", choices=("2026", "2025"), default="2026", help="revision of MCP (default: 2026)")
    preview.add_argument("--at", metavar="TIME", help="as it was then, servers included, like '14:05 last tuesday'")
    explain = _command(group, "explain", "previews:explain", "say which rule shows, hides or renames it", org=True)
    explain.add_argument("name", metavar=f"{_REFERENCE}[@N]")
    thing = "a tool, prompt or resource: the name or URI that agents see, or its server's own"
    explain.add_argument("tool", metavar="THING", help=thing)


def _drift(commands: Commands) -> None:
    drift = _group(commands, "drift", "what servers changed since it was published")
    listing = _command(drift, "ls", "drift:list_held", "list what is held back", org=True)
    _exit_code(listing)
    show = _command(drift, "show", "drift:show", "show what is different, and who called it lately", org=True)
    show.add_argument("name", metavar=_REFERENCE)
    show.add_argument("tools", metavar="TOOL", nargs="*", help="default: all that is held back")
    approve = _command(drift, "approve", "drift:approve", "publish a version that shows it as it is now", org=True)
    reject = _command(drift, "reject", "drift:reject", "leave it hidden", org=True)
    for parser in (approve, reject):
        parser.add_argument("name", metavar=_REFERENCE)
        parser.add_argument("tools", metavar="TOOL", nargs="*", help="by the name that agents see")
        parser.add_argument("--all", action="store_true", help="all that is held back")
        parser.add_argument("--digest", metavar="DIGEST", help="refuse unless this is what the server says now")
        _why(parser)


def _mcp(commands: Commands) -> None:
    tools = _group(commands, "tools", "the tools of a playbook, as an agent sees them")
    _listing(tools, "ls", "mcp:list_tools", "list tools")
    call = _listing(tools, "call", "mcp:call_tool", "call a tool")
    call.add_argument("tool")
    call.add_argument("--arg", action="append", default=[], metavar="KEY=VALUE", help="one argument; repeat it")
    call.add_argument("--json-args", metavar="JSON", default="{}", help="arguments as a JSON object")
    bridge = _command(commands, "bridge", "bridge:bridge", "be a stdio MCP server that forwards to an MCP endpoint")
    bridge.add_argument("url", metavar="URL", help="http(s) or ws(s) URL of a playbook, or of any such endpoint")
    bridge.add_argument("--token-file", metavar="FILE", help="default: CALLBOARD_TOKEN, else the keyring")
    keep = bridge.add_mutually_exclusive_group()
    keep.add_argument("--store-token", action="store_true", help="put a token, read from stdin, into the keyring")
    keep.add_argument("--forget-token", action="store_true", help="take the token for URL out of the keyring")
    bridge.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help=_WAIT)
    prompts = _group(commands, "prompts", "the prompts of a playbook")
    _listing(prompts, "ls", "mcp:list_prompts", "list prompts")
    get = _listing(prompts, "get", "mcp:get_prompt", "get a prompt")
    get.add_argument("prompt")
    get.add_argument("--arg", action="append", default=[], metavar="KEY=VALUE", help="one argument; repeat it")
    resources = _group(commands, "resources", "the resources of a playbook")
    _listing(resources, "ls", "mcp:list_resources", "list resources and templates")
    read = _listing(resources, "read", "mcp:read_resource", "read a resource")
    read.add_argument("uri")


def _listing(group: Commands, name: str, function: str, text: str) -> argparse.ArgumentParser:
    parser = _command(group, name, function, text, org=True)
    parser.add_argument("playbook", metavar=_REFERENCE)
    return parser


def _records(commands: Commands) -> None:
    calls = _group(commands, "calls", "call records")
    recent = _command(calls, "ls", "records:list_calls", "list calls, newest first", org=True)
    _call_filters(recent)
    tail = _command(calls, "tail", "records:tail_calls", "follow calls as they happen", org=True)
    tail.add_argument("--count", type=int, metavar="N", help="end after N calls")
    show = _command(calls, "show", "records:show_call", "show one call", org=True)
    show.add_argument("call_id")
    show.add_argument("--definition", action="store_true", help="print the definition that answered the call")
    replay = _command(commands, "replay", "replay:replay", "run recorded calls again on another version", org=True)
    what = "ids of calls, as `calls ls` prints them; with --last the playbook"
    replay.add_argument("call_id", nargs="*", metavar="CALL", help=what)
    against = replay.add_mutually_exclusive_group(required=True)
    against.add_argument("--against", metavar=f"[{_REFERENCE}]@N", help="the version they run on")
    candidate = "run them on what this file would publish; nothing is published"
    against.add_argument("--against-file", metavar="FILE", help=candidate)
    against.add_argument("--against-draft", metavar=_REFERENCE, help="run them on the draft of this playbook")
    replay.add_argument("--last", type=int, metavar="N", help="the last N tool calls of the playbook instead")
    replay.add_argument("--playbook", default="", metavar="NAME[@N]", help="with --last: of this one")
    replay.add_argument("--since", default="7d", metavar="TIME", help="with --last: from then on (default: 7d)")
    replay.add_argument(
        "--unsafe", action="append", default=[], metavar="TOOL", help="runs although it is not marked read-only"
    )
    replay.add_argument("--ignore", action="append", default=[], metavar="PATTERN", help="a place like /content/*/text")
    replay.add_argument("--ignore-times", action="store_true", help="take any two times for equal")
    _exit_code(replay)
    events = _group(commands, "events", "the log of an organisation")
    log = _command(events, "ls", "events:list_events", "list events", org=True)
    log.add_argument("--after", type=int, default=0, metavar="SEQ")
    log.add_argument("--limit", type=int, default=200, metavar="N")
    text = "only events of this type, or of types like 'person.*' or 'authentication.refused'; may be repeated"
    log.add_argument("--kind", action="append", default=[], metavar="TYPE", help=text)
    log.add_argument("--newest", action="store_true", help="the last N, and not the first after SEQ")
    log.add_argument("--system", action="store_true", help="the log of the installation; for its administrators")
    one = _command(events, "show", "events:show_event", "show one event with all that the log keeps of it", org=True)
    one.add_argument("event", metavar="ID|[ORG:]SEQ", help="its id, or its number as `events ls` prints it")
    follow = _command(events, "tail", "events:tail_events", "follow events as they are published", org=True)
    follow.add_argument("--count", type=int, metavar="N", help="end after N events")


def _call_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--playbook", default="", metavar="NAME[@N]", help="one playbook, or one version of it")
    for name in ("tool", "server", "client", "principal", "era", "digest"):
        parser.add_argument(f"--{name}", default="", metavar=name.upper())
    parser.add_argument("--outcome", default="", choices=OUTCOMES, help="how it ended")
    parser.add_argument("--trace", default="", metavar="ID", help="the trace id, 32 hexadecimal digits")
    parser.add_argument("--since", default="", metavar="TIME", help="from then on (default: 24 hours before --until)")
    parser.add_argument("--until", default="", metavar="TIME", help="before then (default: now)")
    parser.add_argument("--slower-than", type=float, default=0.0, metavar="MS", help="that took so long or longer")
    parser.add_argument("--cursor", default="", help="go on where the page before ended")
    parser.add_argument("--limit", type=int, default=50, metavar="N")


def _access(commands: Commands) -> None:
    token = _group(commands, "token", "client tokens")
    issue = _command(token, "issue", "access:issue_token", "issue a token; it is shown this once", org=True)
    issue.add_argument("client", help="who will use it")
    issue.add_argument("--scope", action="append", metavar="SCOPE", help="use (the default), read, operate, manage, …")
    issue.add_argument("--playbook", action="append", default=[], metavar="GLOB", help="limit to these playbooks")
    issue.add_argument("--expires", metavar="TIME", help="like 30d, 12h, 15m or 60s (default: never)")
    person = "the client's name is a person's: keep it sealed, so that they can be erased"
    issue.add_argument("--person", action="store_true", help=person)
    _command(token, "ls", "access:list_tokens", "list tokens", org=True)
    rotate = _command(token, "rotate", "access:rotate_token", "replace a token; both work for a while", org=True)
    rotate.add_argument("key_id")
    rotate.add_argument("--overlap", default="1h", metavar="TIME", help="how long the old one works (default: 1h)")
    revoke = _command(token, "revoke", "access:revoke_token", "refuse a token from now on", org=True)
    revoke.add_argument("key_id")
    _why(revoke, required=False)
    _persons(commands)
    vault = _group(commands, "vault", "the keys of an organisation's vault")
    _command(vault, "rotate", "vault:rotate", "seal everything in the vault under a new key", org=True)
    shred = _command(vault, "shred", "vault:shred", "destroy the vault's keys, and all that is sealed under them")
    shred.add_argument("organisation", metavar="ORG")
    _why(shred)
    signing = _group(commands, "signing-key", "the keys that sign access tokens, of the whole installation")
    _command(signing, "ls", "signing:list_keys", "list them, with the time from which each signs")
    again = _command(signing, "rotate", "signing:rotate", "publish the next key; it signs a day from now")
    again.add_argument(
        "--now", action="store_true", help="sign with it at once, and refuse every access token there is"
    )
    _why(again, required=False)
    secret = _group(commands, "secret", "the vault")
    store = _command(secret, "set", "access:store_secret", "store a secret; the value is read from stdin", org=True)
    store.add_argument("name")
    _command(secret, "ls", "access:list_secrets", "list secrets, without their values", org=True)
    destroy = _command(secret, "rm", "access:destroy_secret", "delete every version of a secret", org=True)
    destroy.add_argument("name")
    consumer = _group(commands, "consumer", "analytics consumers of the bus")
    admit = _command(consumer, "add", "access:admit_consumer", "make credentials; they are shown this once", org=True)
    admit.add_argument("name")
    admit.add_argument("--out", metavar="FILE", help="write the credentials to FILE (mode 0600)")
    _command(consumer, "ls", "access:list_consumers", "list consumers", org=True)
    dismiss = _command(consumer, "rm", "access:dismiss_consumer", "refuse a consumer from now on", org=True)
    dismiss.add_argument("name")


def _persons(commands: Commands) -> None:
    person = _group(commands, "person", "persons with tokens of their own")
    _command(person, "ls", "persons:list_persons", "list persons", org=True)
    erase = _command(commands, "erase", "persons:erase_person", "destroy the key of a person: what names them is gone")
    erase.add_argument("organisation", metavar="ORG")
    erase.add_argument("person", metavar="PERSON", help="the id or the name, of a member also the e-mail address")
    _why(erase)


def _installation(commands: Commands) -> None:
    _command(commands, "status", "installation:status", "show every service, server and projection")
    audit = _group(commands, "audit", "the tamper-evident log")
    verify = _command(audit, "verify", "audit:verify", "recompute the hash chains", org=True)
    verify.add_argument("--file", metavar="EXPORT", help="verify an exported log instead; asks no Callboard")
    verify.add_argument("--anchor", action="append", default=[], metavar="FILE", help="compare with this; repeat it")
    export = _command(audit, "export", "audit:export", "print the log as lines that anybody can verify", org=True)
    export.add_argument("--out", metavar="FILE", help="write to a new file instead")
    _command(audit, "anchor", "audit:anchor", "print the signed head of the log, to be kept elsewhere", org=True)
    backup = _command(commands, "backup", "backup:back_up", "write everything that matters into one file")
    backup.add_argument("file", metavar="FILE", help="a new file")
    backup.add_argument("--no-calls", action="store_true", help="leave the call records out")
    restore = _command(commands, "restore", "backup:restore", "fill an empty database from a backup")
    restore.add_argument("file", metavar="FILE")
    restore.add_argument(
        "--erasures", action="append", default=[], metavar="EXPORT", help="erase again whom this exported log erased"
    )
    projection = _group(commands, "projection", "read models")
    _command(
        projection,
        "ls",
        "installation:list_projections",
        "list projections with their lag and the events that stop them",
    )
    skip = _command(projection, "skip", "installation:skip_event", "pass over an event that one cannot fold")
    retry = _command(projection, "retry", "installation:retry_event", "try such an event again, now")
    for parser in (skip, retry):
        parser.add_argument("name")
        parser.add_argument("event", metavar="ORG:SEQ", help="as `projection ls` prints it")
    _why(skip)
    _why(retry, required=False)
    rebuild = _command(projection, "rebuild", "installation:rebuild_projection", "fold the log from zero and switch")
    rebuild.add_argument("name")


def _tools(commands: Commands) -> None:
    _command(commands, "asyncapi", "rooms:asyncapi", "print the AsyncAPI document of the bus")
    doctor = _command(commands, "doctor", "doctor:doctor", "look for what is wrong, and say what to do")
    doctor.add_argument("--port", type=int, default=8700, help="the port `up` would use (default: %(default)s)")
    _command(commands, "version", "rooms:version", "print the version")
