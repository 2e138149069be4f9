"""What an analytics consumer may do on the bus: read its own durables and hear the subjects of its organisation."""

from __future__ import annotations

from callboard.contracts.subjects import EVENT, INBOX, RECORD, STREAM_CALLS, STREAM_EVENTS

CONSUMER_DOMAIN = "callboard"
"""JetStream domain by which a consumer can also reach its durables (clients that ask for their state first do)."""
_CONSUMER_STREAMS = (STREAM_EVENTS, STREAM_CALLS)
CONSUMER_SERVICES: dict[str, str] = {
    subject: answers
    for stream in _CONSUMER_STREAMS
    for subject, answers in (
        (f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*", "Stream"),
        (f"$JS.API.CONSUMER.INFO.{stream}.*", "Singleton"),
        (f"$JS.ACK.{stream}.>", "Singleton"),
    )
}
"""What the main account answers to accounts of consumers, each of which imports its own durables only."""
CONSUMER_FEEDS = (f"{EVENT}.>", f"{RECORD}.>")
"""What they can hear live, each the subjects of its organisation only."""


def consumer_inbox(organisation: str, consumer: str) -> str:
    """Inbox prefix of one analytics consumer."""
    return f"{INBOX}.consumer.{organisation}.{consumer}"


def consumer_feeds(organisation: str) -> tuple[str, ...]:
    """The live subjects of an organisation."""
    return f"{EVENT}.{organisation}.>", f"{RECORD}.{organisation}.>"


def consumer_services(durables: dict[str, str]) -> dict[str, str]:
    """Subject in a consumer's account -> subject in ours. `durables`: stream -> durable name.

    Only reading of its own durables, which authsvc makes.
    """
    services: dict[str, str] = {}
    for stream, durable in durables.items():
        pull, state = f"CONSUMER.MSG.NEXT.{stream}.{durable}", f"CONSUMER.INFO.{stream}.{durable}"
        services[f"$JS.API.{pull}"] = f"$JS.API.{pull}"
        services[f"$JS.{CONSUMER_DOMAIN}.API.{pull}"] = f"$JS.API.{pull}"
        # Not under `$JS.API.` too: there the server answers itself, that this account has no JetStream.
        services[f"$JS.{CONSUMER_DOMAIN}.API.{state}"] = f"$JS.API.{state}"
        services[f"$JS.ACK.{stream}.{durable}.>"] = f"$JS.ACK.{stream}.{durable}.>"
    return services


def consumer_permissions(
    organisation: str, consumer: str, durables: dict[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What an analytics consumer may publish and subscribe to, in its own account.

    `cb.evt.>` there is only what the account imports: the events of its organisation.
    """
    subscribe = (*CONSUMER_FEEDS, f"{consumer_inbox(organisation, consumer)}.>")
    return tuple(consumer_services(durables)), subscribe
