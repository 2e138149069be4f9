"""`callboard webhook`: where an organisation's events are sent."""

from __future__ import annotations

from argparse import Namespace

from callboard.cli.access import duration
from callboard.cli.exit_codes import FAILED, OK
from callboard.cli.output import Output
from callboard.cli.target import connect, organisation_of
from callboard.contracts.webhooks import WebhookSecret


def register(args: Namespace, out: Output) -> int:
    """`webhook add`: the secret alone on stdout."""
    with connect(args) as callboard:
        made = callboard.register_webhook(
            organisation_of(args, callboard), args.name, args.webhook_url, args.kind or ("*",)
        )
    return _shown(made, out)


def rotate(args: Namespace, out: Output) -> int:
    """`webhook rotate`: the new secret alone on stdout."""
    seconds = duration(args.overlap)
    with connect(args) as callboard:
        made = callboard.rotate_webhook(organisation_of(args, callboard), args.name, seconds)
    out.talk(f"messages have the old signature as well for {args.overlap}")
    return _shown(made, out)


def _shown(made: WebhookSecret, out: Output) -> int:
    if out.as_json:
        out.json(made)
    else:
        out.text(made.secret)
    out.talk(f"secret of webhook {made.webhook}; this is the only time it is shown")
    return OK


def list_webhooks(args: Namespace, out: Output) -> int:
    """`webhook ls`."""
    with connect(args) as callboard:
        found = callboard.webhooks(organisation_of(args, callboard))
    if out.as_json:
        out.json(found)
    else:
        columns = ("webhook", "url", "kinds", "state", "at event", "failures", "next attempt", "problem")
        rows = [
            (w.webhook, w.url, w.kinds, w.state, w.position, w.failures, w.next_attempt_at, w.problem)
            for w in found.webhooks
        ]
        out.table(columns, rows, "there is no webhook")
    return OK


def list_deliveries(args: Namespace, out: Output) -> int:
    """`webhook log`."""
    with connect(args) as callboard:
        found = callboard.deliveries(organisation_of(args, callboard), args.name, args.limit)
    if out.as_json:
        out.json(found)
    else:
        rows = [(d.at, d.seq, d.kind, d.attempt, d.status, d.took_ms, d.problem) for d in found.deliveries]
        out.table(("at", "event", "kind", "attempt", "status", "ms", "problem"), rows, "nothing was sent yet")
    return OK


def try_it(args: Namespace, out: Output) -> int:
    """`webhook test`: exits with 1 when the receiver did not take it."""
    with connect(args) as callboard:
        delivery = callboard.try_webhook(organisation_of(args, callboard), args.name)
    if out.as_json:
        out.json(delivery)
    out.talk(delivery.problem or f"taken: answered {delivery.status} in {delivery.took_ms} ms")
    return FAILED if delivery.problem else OK


def pause(args: Namespace, out: Output) -> int:
    """`webhook pause`."""
    return _switch(args, out, on=False)


def resume(args: Namespace, out: Output) -> int:
    """`webhook resume`."""
    return _switch(args, out, on=True)


def _switch(args: Namespace, out: Output, *, on: bool) -> int:
    with connect(args) as callboard:
        done = callboard.switch_webhook(organisation_of(args, callboard), args.name, args.message, on=on)
    if out.as_json:
        out.json(done)
    out.talk(f"{'resumed' if on else 'paused'} {args.name}" if done.seq else "nothing changed")
    return OK


def replay(args: Namespace, out: Output) -> int:
    """`webhook replay`."""
    with connect(args) as callboard:
        done = callboard.replay_webhook(organisation_of(args, callboard), args.name, args.first, args.last)
    if out.as_json:
        out.json(done)
    out.talk(f"events {args.first} to {args.last} are sent again, under their old ids")
    return OK


def delete(args: Namespace, out: Output) -> int:
    """`webhook rm`."""
    with connect(args) as callboard:
        done = callboard.delete_webhook(organisation_of(args, callboard), args.name, args.message)
    if out.as_json:
        out.json(done)
    out.talk(f"deleted {args.name}")
    return OK
