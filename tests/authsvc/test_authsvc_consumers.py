"""The journey of an analytics consumer: its credentials read its own data and nothing else, until it is dismissed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
import pytest
from nats.aio.client import Client, RawCredentials
from nats.js.errors import NotFoundError

from callboard.contracts import consumer_subjects, subjects
from callboard.contracts.access import AdmitConsumer, AskConsumers, ConsumerAdmission, Consumers, DismissConsumer
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.local.nats_server import EmbeddedNats
from tests.authsvc.stack import Edge, Stack, new_id, refused
from tests.support.waiting import PATIENCE, eventually, promised, settled


class Reader:
    """An analytics consumer as its author would write it, from what the admission says."""

    def __init__(self, admission: ConsumerAdmission) -> None:
        self.admission = admission
        self.client = Client()
        self.errors: list[str] = []

    async def connect(self) -> Reader:
        async def remember(error: Exception) -> None:
            self.errors.append(str(error).lower())

        await self.client.connect(
            self.admission.url,
            user_credentials=RawCredentials(self.admission.credentials),
            inbox_prefix=self.admission.inbox_prefix,
            error_cb=remember,
            allow_reconnect=False,
            connect_timeout=int(PATIENCE),
        )
        return self

    async def read(self, subject: str, count: int) -> list[bytes]:
        stream, durable = self.admission.durables[subject]
        subscription = await self.client.jetstream().pull_subscribe_bind(consumer=durable, stream=stream)
        messages = await subscription.fetch(count, timeout=PATIENCE)
        for message in messages:
            await message.ack_sync()
        await subscription.unsubscribe()
        return [message.data for message in messages]

    async def refused(self, words: str) -> None:
        await settled(self.client)
        await eventually(lambda: any(words.lower() in error for error in self.errors))


async def admit(edge: Edge, consumer: str = "stats", organisation: str = "acme", **rest: Any) -> ConsumerAdmission:
    command = AdmitConsumer(**{"command_id": new_id(), "organisation": organisation, "consumer": consumer} | rest)
    return await edge.bus.ask(subjects.ADMIT_CONSUMER, command, ConsumerAdmission)


async def dismiss(edge: Edge, consumer: str = "stats", organisation: str = "acme", command_id: str = "") -> Done:
    command = DismissConsumer(command_id=command_id or new_id(), organisation=organisation, consumer=consumer)
    return await edge.bus.ask(subjects.DISMISS_CONSUMER, command, Done)


async def durables(client: Client) -> set[str]:
    found = await asyncio.gather(
        *(client.jetstream().consumers_info(stream) for stream in (subjects.STREAM_EVENTS, subjects.STREAM_CALLS))
    )
    return {info.name for infos in found for info in infos}


@pytest.fixture
async def everywhere(stack: Stack, edge: Edge) -> Client:
    """Projections' streams with something in them, and a connection that may do everything."""
    client = await stack.make_streams()
    await client.jetstream().publish("cb.evt.acme.playbook.published", b"acme 1")
    await client.jetstream().publish("cb.evt.zeta.playbook.published", b"zeta 1")
    await client.jetstream().publish("cb.calls.acme.start", b"call before")
    return client


async def test_a_consumer_reads_all_events_and_new_calls_of_its_organisation(edge: Edge, everywhere: Client) -> None:
    admission = await admit(edge)
    reader = await Reader(admission).connect()
    await everywhere.jetstream().publish("cb.calls.acme.start", b"call after")
    await everywhere.jetstream().publish("cb.calls.zeta.start", b"call of zeta")
    await everywhere.jetstream().publish("cb.evt.acme.playbook.retired", b"acme 2")

    assert admission.subjects == ("cb.evt.acme.>", "cb.calls.acme.>")
    assert await reader.read("cb.evt.acme.>", 2) == [b"acme 1", b"acme 2"]
    assert await reader.read("cb.calls.acme.>", 1) == [b"call after"]
    assert reader.errors == []
    await reader.client.close()


async def test_a_consumer_goes_on_where_it_was_after_its_own_restart(edge: Edge, everywhere: Client) -> None:
    admission = await admit(edge)
    first = await Reader(admission).connect()
    assert await first.read("cb.evt.acme.>", 1) == [b"acme 1"]
    await first.client.close()
    await everywhere.jetstream().publish("cb.evt.acme.playbook.retired", b"acme 2")

    second = await Reader(admission).connect()

    assert await second.read("cb.evt.acme.>", 1) == [b"acme 2"]
    await second.client.close()


async def test_a_consumer_hears_live_subjects_of_its_organisation(edge: Edge, everywhere: Client) -> None:
    reader = await Reader(await admit(edge)).connect()
    heard = await reader.client.subscribe("cb.calls.acme.>")
    await settled(reader.client)

    await everywhere.publish("cb.calls.acme.start", b"live")

    assert (await heard.next_msg(timeout=PATIENCE)).data == b"live"
    await reader.client.close()


@pytest.mark.parametrize("subject", ["cb.evt.>", "cb.calls.>", "cb.evt.zeta.>", "cb.calls.*.start"])
async def test_a_consumer_that_listens_to_everything_hears_its_own_organisation_only(
    edge: Edge, everywhere: Client, subject: str
) -> None:
    reader = await Reader(await admit(edge)).connect()
    everything = await reader.client.subscribe(subject)
    mine = await reader.client.subscribe("cb.calls.acme.start")
    await settled(reader.client)

    for other in ("cb.evt.zeta.playbook.published", "cb.calls.zeta.start", "cb.calls.acme.start"):
        await everywhere.publish(other, other.encode())

    # What was published before this one would have been here before it.
    assert (await mine.next_msg(timeout=PATIENCE)).data == b"cb.calls.acme.start"
    heard = [everything._pending_queue.get_nowait().data for _ in range(everything._pending_queue.qsize())]
    assert not [data for data in heard if b"zeta" in data]
    await reader.client.close()


@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "cb.cmd.>",
        "cb.push.>",
        "_INBOX.>",
        "_INBOX.edge.>",
        "_INBOX.consumer.>",
        "_INBOX.consumer.zeta.stats.>",
        "_INBOX.consumer.acme.stats2.>",
        "$JS.EVENT.>",
        "$SYS.>",
    ],
)
async def test_a_consumer_hears_nothing_else(edge: Edge, everywhere: Client, subject: str) -> None:
    reader = await Reader(await admit(edge)).connect()

    await reader.client.subscribe(subject)

    await reader.refused(f'permissions violation for subscription to "{subject}"')
    await reader.client.close()


@pytest.mark.parametrize(
    "subject",
    [
        "cb.cmd.token.issue",
        "cb.cmd.consumer.admit",
        "cb.ask.vault.open",
        "cb.ask.authsvc.verify_token",
        "cb.push.token_revoked",
        "cb.rpc.acme.start",
        "cb.evt.acme.playbook.published",
        "cb.calls.acme.start",
        "$JS.API.CONSUMER.CREATE.CB_EVENTS.mine",
        "$JS.API.CONSUMER.DURABLE.CREATE.CB_EVENTS.mine",
        "$JS.API.CONSUMER.DELETE.CB_EVENTS.acme-FOR-stats",
        "$JS.API.CONSUMER.MSG.NEXT.CB_EVENTS.zeta-FOR-stats",
        "$JS.API.STREAM.PURGE.CB_EVENTS",
        "$JS.API.STREAM.MSG.GET.CB_EVENTS",
        "$JS.API.DIRECT.GET.CB_EVENTS",
        "$JS.ACK.CB_EVENTS.zeta-FOR-stats.1.1.1.1.1",
        "_INBOX.edge.one.1",
    ],
)
async def test_a_consumer_publishes_nothing_but_its_pulls(edge: Edge, everywhere: Client, subject: str) -> None:
    await edge.create("zeta")
    await admit(edge, organisation="zeta")
    reader = await Reader(await admit(edge)).connect()

    await reader.client.publish(subject, b"{}")

    await reader.refused(f'permissions violation for publish to "{subject}"')
    await reader.client.close()


@pytest.mark.parametrize(
    "request_", ["$JS.API.CONSUMER.MSG.NEXT.CB_EVENTS.{}", "$JS.callboard.API.CONSUMER.INFO.CB_EVENTS.{}"]
)
@pytest.mark.parametrize(
    "target",
    [
        "$JS.API.STREAM.PURGE.CB_EVENTS",
        "$JS.API.STREAM.DELETE.CB_EVENTS",
        "$JS.API.CONSUMER.DELETE.CB_EVENTS.zeta-FOR-stats",
        "cb.evt.acme.playbook.retired",
        "cb.evt.zeta.playbook.retired",
        "cb.cmd.token.issue",
        "$KV.CB_LEASES.acme",
        "_INBOX.edge.one.1",
    ],
)
async def test_a_consumer_cannot_have_the_server_write_for_it(
    edge: Edge, everywhere: Client, request_: str, target: str
) -> None:
    """The server answers a pull wherever the reply subject says, without asking for permissions."""
    await edge.create("zeta")
    await admit(edge, organisation="zeta")
    reader = await Reader(await admit(edge)).connect()
    heard = await everywhere.subscribe(target)
    await settled(everywhere)
    before = (await everywhere.jetstream().stream_info(subjects.STREAM_EVENTS)).state.messages

    await reader.client.publish(f"{request_}.CB_EVENTS.acme-FOR-stats", b'{"batch": 9, "no_wait": true}', reply=target)

    # Answered after it: what the consumer asks for itself.
    state = await reader.client.request(
        "$JS.callboard.API.CONSUMER.INFO.CB_EVENTS.acme-FOR-stats", b"", timeout=PATIENCE
    )
    assert json.loads(state.data)["name"] == "acme-FOR-stats"
    assert (await everywhere.jetstream().stream_info(subjects.STREAM_EVENTS)).state.messages == before
    assert "zeta-FOR-stats" in await durables(everywhere)
    assert heard.pending_msgs == 0
    await reader.client.close()


async def test_clients_that_ask_for_the_state_of_a_durable_use_the_domain(edge: Edge, everywhere: Client) -> None:
    reader = await Reader(await admit(edge)).connect()
    jetstream = reader.client.jetstream(domain=consumer_subjects.CONSUMER_DOMAIN)

    info = await jetstream.consumer_info(subjects.STREAM_EVENTS, "acme-FOR-stats")
    subscription = await jetstream.pull_subscribe_bind(consumer=info.name, stream=subjects.STREAM_EVENTS)

    assert info.num_pending == 1
    assert [message.data for message in await subscription.fetch(1, timeout=PATIENCE)] == [b"acme 1"]
    await reader.client.close()


async def test_a_dismissed_consumer_is_cut_off_at_once_and_does_not_come_back(
    stack: Stack, edge: Edge, everywhere: Client
) -> None:
    kept = await Reader(await admit(edge, "kept")).connect()
    admission = await admit(edge)
    reader = await Reader(admission).connect()
    assert await durables(everywhere) == {"acme-FOR-kept", "acme-FOR-stats"}

    await dismiss(edge)

    await promised(lambda: not reader.client.is_connected, within=2)
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Reader(admission).connect()
    assert await durables(everywhere) == {"acme-FOR-kept"}
    assert await kept.read("cb.evt.acme.>", 1) == [b"acme 1"]
    assert await stack.events("acme") == [
        "organisation.created",
        "consumer.admitted",
        "consumer.admitted",
        "consumer.dismissed",
    ]
    await kept.client.close()


async def test_every_dismissal_holds_however_many_there_are(stack: Stack, edge: Edge, everywhere: Client) -> None:
    await stack.authsvc()
    readers = [await Reader(await admit(edge, f"stats-{number}")).connect() for number in range(6)]

    await asyncio.gather(*(dismiss(edge, f"stats-{number}") for number in range(6)))

    await eventually(lambda: not any(reader.client.is_connected for reader in readers))
    for reader in readers:
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await Reader(reader.admission).connect()


async def test_a_name_is_free_again_after_dismissal_and_the_old_credentials_stay_refused(
    edge: Edge, everywhere: Client
) -> None:
    old = await admit(edge)
    await dismiss(edge)

    reader = await Reader(await admit(edge)).connect()

    assert await reader.read("cb.evt.acme.>", 1) == [b"acme 1"]
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Reader(old).connect()
    await reader.client.close()


async def test_a_late_second_delivery_of_a_dismissal_does_not_harm_the_next_consumer(
    edge: Edge, everywhere: Client
) -> None:
    command_id = new_id()
    await admit(edge)
    first = await dismiss(edge, command_id=command_id)
    reader = await Reader(await admit(edge)).connect()

    assert await dismiss(edge, command_id=command_id) == first

    assert await reader.read("cb.evt.acme.>", 1) == [b"acme 1"]
    await reader.client.close()


async def test_an_active_name_cannot_be_admitted_twice(stack: Stack, edge: Edge, everywhere: Client) -> None:
    await stack.authsvc()

    answers = await asyncio.gather(*(admit(edge) for _ in range(4)), return_exceptions=True)

    assert len([answer for answer in answers if isinstance(answer, ConsumerAdmission)]) == 1
    assert [answer.code for answer in answers if isinstance(answer, Problem)] == ["consumer.exists"] * 3
    await refused("consumer.exists", admit(edge))


async def test_a_command_delivered_twice_shows_credentials_once(stack: Stack, edge: Edge, everywhere: Client) -> None:
    command_id = new_id()
    admission = await admit(edge, command_id=command_id)

    problem = await refused("command.reused", admit(edge, command_id=command_id))

    assert "shown only once" in problem.message
    assert await stack.events("acme") == ["organisation.created", "consumer.admitted"]
    assert admission.credentials not in repr(admission)


async def test_credentials_are_stored_nowhere(stack: Stack, edge: Edge, everywhere: Client) -> None:
    admission = await admit(edge)
    seed = next(line for line in admission.credentials.splitlines() if line.startswith("SU"))

    stored = await stack.everything_stored()

    assert "consumer.admitted" in stored
    assert seed not in stored
    assert admission.credentials.splitlines()[1] not in stored


async def test_consumers_are_listed_per_organisation(edge: Edge, everywhere: Client) -> None:
    await edge.create("zeta")
    await admit(edge, "b")
    await admit(edge, "a")
    await admit(edge, "of-zeta", organisation="zeta")
    await dismiss(edge, "b")

    async def names(organisation: str) -> list[str]:
        question = AskConsumers(organisation=organisation)
        answer = await edge.bus.ask(subjects.CONSUMERS, question, Consumers)
        return [line.consumer for line in answer.consumers]

    assert await names("acme") == ["a"]
    assert await names("zeta") == ["of-zeta"]
    await refused("consumer.unknown", dismiss(edge, "of-zeta"))
    await refused("organisation.unknown", names("nobody"))


@pytest.mark.parametrize("name", ["", "A", "a.b", "a>", "x" * 64, "\x00"])
async def test_a_consumer_needs_a_name_that_fits_into_a_subject(edge: Edge, everywhere: Client, name: str) -> None:
    await refused("argument.invalid", admit(edge, name))
    await refused("argument.invalid", dismiss(edge, name))


async def test_nobody_is_admitted_before_there_is_something_to_read(stack: Stack, edge: Edge) -> None:
    problem = await refused("bus.unavailable", admit(edge))

    assert "CB_EVENTS" in problem.message
    assert await stack.events("acme") == ["organisation.created"]
    await stack.make_streams()
    await admit(edge)


async def test_where_nats_is_managed_elsewhere_nobody_is_admitted_from_here(stack: Stack) -> None:
    await stack.authsvc(trust_dir="")
    edge = Edge(await stack.bus_of("edge"))
    await edge.create("acme")

    for work in (admit(edge), dismiss(edge)):
        problem = await refused("argument.invalid", work)
        assert "managed elsewhere" in problem.message


async def test_consumers_are_told_the_public_address_of_nats(stack: Stack) -> None:
    await stack.authsvc(consumer_nats_url="tls://bus.example.com:4222")
    await stack.make_streams()
    edge = Edge(await stack.bus_of("edge"))
    await edge.create("acme")

    assert (await admit(edge)).url == "tls://bus.example.com:4222"


async def test_a_nats_that_lost_everything_is_told_again(
    tmp_path: Path, stack: Stack, edge: Edge, everywhere: Client
) -> None:
    """The revocations and durables are in Postgres; a new NATS with the same operator gets them all."""
    dismissed, kept = await admit(edge, "gone"), await admit(edge, "kept")
    await dismiss(edge, "gone")
    for room in list(stack.rooms):
        await stack.stop(room)
    with EmbeddedNats(tmp_path / "other", trust=stack.nats.trust) as other:
        room = await stack.authsvc(nats_url=other.url)
        await eventually(lambda: "CB_EVENTS" in room.status().problem)
        stack.nats, client = other, None
        client = await stack.make_streams()
        await eventually(lambda: room.status().problem == "")

        await client.jetstream().publish("cb.evt.acme.playbook.published", b"again")
        reader = await Reader(_at(kept, other.url)).connect()
        assert await reader.read("cb.evt.acme.>", 1) == [b"again"]
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await Reader(_at(dismissed, other.url)).connect()
        await reader.client.close()
        await stack.stop(room)
        await client.close()


async def test_a_restarted_service_keeps_dismissed_consumers_out(stack: Stack, edge: Edge, everywhere: Client) -> None:
    admission = await admit(edge)
    await dismiss(edge)
    await stack.stop(stack.rooms[0])
    room = await stack.authsvc()

    await refused("consumer.unknown", dismiss(edge))
    await admit(edge, "another")
    await dismiss(edge, "another")

    assert room.status().problem == ""
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await Reader(admission).connect()


async def test_durables_are_pull_consumers_with_explicit_acks(edge: Edge, everywhere: Client) -> None:
    await admit(edge)

    info = await everywhere.jetstream().consumer_info(subjects.STREAM_EVENTS, "acme-FOR-stats")

    assert info.config.deliver_subject is None
    assert info.config.ack_policy == "explicit"
    assert info.config.filter_subject == "cb.evt.acme.>"
    with pytest.raises(NotFoundError):
        await everywhere.jetstream().consumer_info(subjects.STREAM_EVENTS, "zeta-FOR-stats")


def _at(admission: ConsumerAdmission, url: str) -> ConsumerAdmission:
    return msgspec.structs.replace(admission, url=url)
