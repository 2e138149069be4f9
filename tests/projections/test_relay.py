"""The relay against a real JetStream: whatever is lost there comes again from the log."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter

from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from callboard.contracts import subjects
from callboard.contracts.events import PublishedEvent
from callboard_projections.relay.publish import BATCH
from tests.projections.stack import Stack, published, status_of
from tests.support.waiting import eventually


async def relayed_seqs(stack: Stack) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    try:
        for event in await stack.relayed_events():
            found.setdefault(event.organisation, []).append(event.seq)
    except (NotFoundError, TimeoutError):
        return {}
    return found


async def test_the_streams_and_buckets_of_all_rooms_are_made_with_their_limits(stack: Stack) -> None:
    await stack.projections(calls_max_bytes=2_000_000)
    jetstream = (await stack.everywhere()).jetstream()

    events = (await jetstream.stream_info(subjects.STREAM_EVENTS)).config
    calls = (await jetstream.stream_info(subjects.STREAM_CALLS)).config
    sessions = (await jetstream.stream_info(f"KV_{subjects.BUCKET_SESSIONS}")).config
    leases = (await jetstream.stream_info(f"KV_{subjects.BUCKET_LEASES}")).config

    assert (events.subjects, events.storage, events.max_age) == (["cb.evt.>"], "file", 30 * 86400)
    assert events.duplicate_window == 120
    assert (calls.subjects, calls.storage, calls.max_age) == (["cb.calls.>"], "file", 7 * 86400)
    assert (calls.discard, calls.max_bytes) == ("old", 2_000_000)
    assert (sessions.storage, sessions.max_age, sessions.max_msgs_per_subject) == ("file", 86400, 1)
    assert (leases.storage, leases.max_age, leases.max_msgs_per_subject) == ("memory", 30, 1)


async def test_a_changed_limit_is_applied_to_the_stream_there_is(stack: Stack) -> None:
    first = await stack.projections(calls_max_bytes=2_000_000)
    await first.stop()
    stack.rooms.remove(first)

    await stack.projections(calls_max_bytes=4_000_000)

    calls = (await (await stack.everywhere()).jetstream().stream_info(subjects.STREAM_CALLS)).config
    assert calls.max_bytes == 4_000_000


async def test_every_event_is_relayed_once_with_its_public_form_and_identity(stack: Stack) -> None:
    await stack.projections()
    await stack.log.create("acme")
    await stack.log.append("acme", published("start", 1, "log"), actor="bob", comment="first")

    messages = await eventually(lambda: _at_least(stack, 2))

    assert [message.subject for message in messages] == [
        "cb.evt.acme.organisation.created",
        "cb.evt.acme.playbook.published",
    ]
    assert [dict(message.headers or {}) for message in messages] == [
        {"Nats-Msg-Id": "acme:1", "Cb-Seq": "1"},
        {"Nats-Msg-Id": "acme:2", "Cb-Seq": "2"},
    ]
    event = (await stack.relayed_events())[1]
    stored = (await stack.log.store.read("acme", 1))[0]
    assert event == PublishedEvent(
        organisation="acme",
        seq=2,
        event_id=stored.event_id,
        stream="playbook-start",
        version=1,
        recorded_at=stored.recorded_at,
        actor="bob",
        comment="first",
        event=published("start", 1, "log"),
    )


async def _at_least(stack: Stack, count: int) -> list[Msg]:
    messages = await stack.relayed()
    assert len(messages) >= count
    return messages


async def test_what_was_appended_before_the_start_is_relayed_in_batches_without_a_hint(stack: Stack) -> None:
    await stack.log.append("acme", *(published("start", n, "log") for n in range(1, BATCH + 51)))
    room = await stack.projections()

    seqs = await eventually(lambda: _complete(stack, {"acme": BATCH + 50}))

    assert seqs["acme"] == list(range(1, BATCH + 51))
    await eventually(lambda: status_of(room, "relay").events == BATCH + 50 and status_of(room, "relay").lag == 0)


async def _complete(stack: Stack, heads: dict[str, int]) -> dict[str, list[int]]:
    seqs = await relayed_seqs(stack)
    assert all(set(seqs.get(org, [])) >= set(range(1, head + 1)) for org, head in heads.items())
    return seqs


async def test_several_relays_put_each_event_into_the_stream_once(stack: Stack) -> None:
    await stack.projections()
    await stack.projections()
    await asyncio.gather(*(stack.log.fill(org, 20) for org in ("acme", "beta", "gamma")))

    await eventually(lambda: _complete(stack, {"acme": 20, "beta": 20, "gamma": 20}))

    counts = Counter((event.organisation, event.seq) for event in await stack.relayed_events())
    assert set(counts.values()) == {1}


async def test_a_killed_nats_without_its_store_gets_every_event_again(stack: Stack) -> None:
    await stack.projections()
    await stack.log.fill("acme", 10)
    await eventually(lambda: _complete(stack, {"acme": 10}))

    stack.lose_the_bus()
    await _append_without_a_bus(stack, "acme", 11, 5)
    await _append_without_a_bus(stack, "beta", 1, 3)
    await stack.start_the_bus()

    seqs = await eventually(lambda: _complete(stack, {"acme": 15, "beta": 3}))
    assert {org: len(found) for org, found in seqs.items()} == {"acme": 15, "beta": 3}


async def _append_without_a_bus(stack: Stack, organisation: str, first: int, count: int) -> None:
    for version in range(first, first + count):
        await stack.log.append(organisation, published("start", version, "log"))


async def test_a_deleted_stream_is_made_again_and_filled_for_those_who_attach_later(stack: Stack) -> None:
    await stack.projections()
    await stack.log.fill("acme", 10)
    await eventually(lambda: _complete(stack, {"acme": 10}))
    jetstream = (await stack.everywhere()).jetstream()

    await jetstream.delete_stream(subjects.STREAM_EVENTS)
    await jetstream.delete_stream(f"KV_{subjects.BUCKET_SESSIONS}")
    await stack.log.append("acme", published("start", 11, "log"))

    await eventually(lambda: _complete(stack, {"acme": 11}))
    await eventually(lambda: jetstream.key_value(subjects.BUCKET_SESSIONS))


async def test_a_stream_that_lost_its_newest_messages_gets_them_again(stack: Stack) -> None:
    await stack.projections()
    store, saved = stack.directory / "nats" / "store", stack.directory / "saved"
    await stack.log.fill("acme", 5)
    await eventually(lambda: _complete(stack, {"acme": 5}))
    stack.nats.kill()
    shutil.copytree(store, saved)
    await stack.start_the_bus()
    await stack.log.append("acme", *(published("start", n, "log") for n in range(6, 10)))
    await eventually(lambda: _complete(stack, {"acme": 9}))

    # As after a power loss: the same stream without its newest messages, although they were acknowledged.
    stack.nats.kill()
    shutil.rmtree(store)
    shutil.copytree(saved, store)
    await stack.start_the_bus()

    seqs = await eventually(lambda: _complete(stack, {"acme": 9}))
    assert seqs["acme"] == list(range(1, 10))


async def test_an_event_of_a_newer_release_is_relayed_as_it_is(stack: Stack) -> None:
    await stack.log.create("acme")
    await stack.log.tamper(
        'update cb.event set type = \'playbook.admired\', payload = \'{"type":"playbook.admired","by":"all"}\''
    )
    room = await stack.projections()

    messages = await eventually(lambda: _at_least(stack, 1))

    assert messages[0].subject == "cb.evt.acme.playbook.admired"
    await eventually(lambda: all(line.lag == 0 for line in room.status().projections))


async def test_an_event_appended_while_nats_is_down_is_relayed_when_it_is_back(stack: Stack) -> None:
    room = await stack.projections()
    stack.nats.kill()
    await stack.log.append("acme", published("start", 1, "log"))
    await eventually(lambda: status_of(room, "relay").lag == 1)

    await stack.start_the_bus()

    await eventually(lambda: _complete(stack, {"acme": 1}))
