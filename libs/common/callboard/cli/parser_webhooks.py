"""The commands about webhooks of ours."""

from __future__ import annotations

from callboard.cli.parsing import Commands, command, group, why


def add_webhooks(commands: Commands) -> None:
    """`webhook`."""
    webhook = group(commands, "webhook", "send an organisation's events to a URL, signed")
    add = command(webhook, "add", "webhooks:register", "send events there; the secret is shown this once", org=True)
    add.add_argument("name")
    add.add_argument("webhook_url", metavar="URL")
    text = "a glob over types of events, like 'playbook.*'; may be repeated (default: all)"
    add.add_argument("--kind", action="append", metavar="GLOB", help=text)
    command(webhook, "ls", "webhooks:list_webhooks", "list webhooks, and where each stands", org=True)
    log = command(webhook, "log", "webhooks:list_deliveries", "list what was sent lately, and the answers", org=True)
    log.add_argument("name")
    log.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many (default: %(default)s)")
    for name, function, words in (
        ("test", "try_it", "send a test now"),
        ("pause", "pause", "send nothing until it is resumed"),
        ("resume", "resume", "go on sending where it ended"),
        ("rotate", "rotate", "sign with another secret; it is shown this once"),
        ("replay", "replay", "send events again, under their old ids"),
        ("rm", "delete", "send nothing any more"),
    ):
        parser = command(webhook, name, f"webhooks:{function}", words, org=True)
        parser.add_argument("name")
        if name in ("pause", "resume", "rm"):
            why(parser, required=False)
        if name == "rotate":
            parser.add_argument("--overlap", default="24h", metavar="TIME", help="sign with both (default: 24h)")
        if name == "replay":
            parser.add_argument("first", type=int, metavar="FIRST", help="number of an event (`callboard events ls`)")
            parser.add_argument("last", type=int, metavar="LAST")
