"""The identities against a real server: what is allowed, what is refused, and how a user is taken away."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import nats
import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from callboard.local.nats_server import EmbeddedNats
from callboard.platform.bus_identity import (
    BusIdentityError,
    Permissions,
    Trust,
    UserCredentials,
    push_account,
    system_user_creds,
    user_creds,
    write_private_file,
)
from tests.support.waiting import PATIENCE, eventually, settled

EVERYTHING = Permissions(publish=(">",), subscribe=(">",))

Connect = Callable[[UserCredentials], Awaitable["Connection"]]


class Connection:
    """A client together with the errors the server told it about."""

    def __init__(self) -> None:
        self.client = Client()
        self.errors: list[str] = []

    async def open(self, url: str, credentials: UserCredentials) -> Connection:
        async def remember(error: Exception) -> None:
            self.errors.append(str(error).lower())

        await self.client.connect(
            url,
            user_credentials=credentials.raw(),
            error_cb=remember,
            allow_reconnect=False,
            connect_timeout=int(PATIENCE),
        )
        return self

    def was_refused(self, subject: str) -> bool:
        return any("permissions violation" in error and subject in error for error in self.errors)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    with EmbeddedNats(tmp_path / "nats") as running:
        yield running


@pytest_asyncio.fixture
async def connect(server: EmbeddedNats) -> AsyncIterator[Connect]:
    opened: list[Connection] = []

    async def connect_as(credentials: UserCredentials) -> Connection:
        opened.append(await Connection().open(server.url, credentials))
        return opened[-1]

    yield connect_as
    for connection in opened:
        await connection.client.close()


async def test_a_user_publishes_and_subscribes_where_it_may(server: EmbeddedNats, connect: Connect) -> None:
    own = Permissions(publish=("own.out",), subscribe=("own.in",))
    user = await connect(user_creds(server.trust, "edge", own))
    other = await connect(user_creds(server.trust, "other", EVERYTHING))
    at_other = await other.client.subscribe("own.out")
    at_user = await user.client.subscribe("own.in")
    await settled(other.client)
    await settled(user.client)

    await user.client.publish("own.out", b"from the user")
    await other.client.publish("own.in", b"to the user")

    assert (await at_other.next_msg(timeout=PATIENCE)).data == b"from the user"
    assert (await at_user.next_msg(timeout=PATIENCE)).data == b"to the user"
    assert user.errors == []


async def test_a_message_to_a_foreign_subject_is_refused_and_never_arrives(
    server: EmbeddedNats, connect: Connect
) -> None:
    user = await connect(user_creds(server.trust, "edge", Permissions(publish=("own.>",))))
    other = await connect(user_creds(server.trust, "other", EVERYTHING))
    arrived = await other.client.subscribe(">")
    await settled(other.client)

    await user.client.publish("foreign.subject", b"no")
    await user.client.publish("own.subject", b"yes")

    await eventually(lambda: user.was_refused('publish to "foreign.subject"'))
    assert (await arrived.next_msg(timeout=PATIENCE)).subject == "own.subject"


async def test_a_subscription_to_a_foreign_subject_is_refused_and_gets_nothing(
    server: EmbeddedNats, connect: Connect
) -> None:
    user = await connect(user_creds(server.trust, "edge", Permissions(subscribe=("own.>",))))
    other = await connect(user_creds(server.trust, "other", EVERYTHING))
    foreign = await user.client.subscribe("foreign.subject")
    wider = await user.client.subscribe(">")
    own = await user.client.subscribe("own.subject")
    await settled(user.client)

    async def told() -> bool:
        # The server may take the subscription of one connection after what another one says.
        await other.client.publish("foreign.subject", b"no")
        await other.client.publish("own.subject", b"yes")
        await settled(other.client)
        assert own.pending_msgs
        return True

    await eventually(told)
    assert (await own.next_msg(timeout=PATIENCE)).data == b"yes"
    assert user.was_refused('subscription to "foreign.subject"')
    assert user.was_refused('subscription to ">"')
    assert (foreign.pending_msgs, wider.pending_msgs) == (0, 0)


async def test_permissions_that_list_nothing_allow_nothing(server: EmbeddedNats, connect: Connect) -> None:
    user = await connect(user_creds(server.trust, "nobody", Permissions()))

    await user.client.subscribe("any.subject")
    await user.client.publish("any.subject", b"no")

    await eventually(lambda: user.was_refused('subscription to "any.subject"'))
    await eventually(lambda: user.was_refused('publish to "any.subject"'))


async def test_a_user_that_may_respond_answers_a_request_once_and_nothing_else(
    server: EmbeddedNats, connect: Connect
) -> None:
    responder = await connect(
        user_creds(server.trust, "responder", Permissions(subscribe=("ask",), allow_responses=True))
    )
    asker = await connect(user_creds(server.trust, "asker", EVERYTHING))
    questions = await responder.client.subscribe("ask")
    await settled(responder.client)
    answers = await asker.client.subscribe("answers.here")
    await asker.client.publish("ask", b"?", reply="answers.here")
    question = await questions.next_msg(timeout=PATIENCE)

    await question.respond(b"first")
    await question.respond(b"second")

    assert (await answers.next_msg(timeout=PATIENCE)).data == b"first"
    await eventually(lambda: responder.was_refused('publish to "answers.here"'))
    assert answers.pending_msgs == 0


async def test_nobody_connects_without_credentials(server: EmbeddedNats) -> None:
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await nats.connect(server.url, allow_reconnect=False)


async def test_credentials_of_another_operator_are_refused(server: EmbeddedNats, connect: Connect) -> None:
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await connect(user_creds(Trust.generate(), "stranger", EVERYTHING))


async def test_expired_credentials_are_refused(server: EmbeddedNats, connect: Connect) -> None:
    expired = user_creds(server.trust, "old", EVERYTHING, expires_at=int(time.time()) - 1)

    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await connect(expired)


async def test_a_revoked_user_is_disconnected_and_refused_also_after_a_restart(
    server: EmbeddedNats, connect: Connect
) -> None:
    revoked, kept = (user_creds(server.trust, name, EVERYTHING) for name in ("revoked", "kept"))
    leaving, staying = await connect(revoked), await connect(kept)

    await push_account(server.url, server.trust, {revoked.public_key: int(time.time())})

    await eventually(lambda: not leaving.client.is_connected)
    assert staying.client.is_connected
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await connect(revoked)
    server.kill()
    server.start()
    server.wait_ready()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await connect(revoked)
    assert (await connect(kept)).client.is_connected


async def test_two_revocations_within_one_second_both_hold(server: EmbeddedNats, connect: Connect) -> None:
    users = [user_creds(server.trust, f"user-{number}", EVERYTHING) for number in range(3)]
    connections = [await connect(user) for user in users]

    revocations: dict[str, int] = {}
    for user in users[:2]:
        revocations[user.public_key] = int(time.time())
        await push_account(server.url, server.trust, revocations)

    expected = [False, False, True]
    await eventually(lambda: [connection.client.is_connected for connection in connections] == expected)


async def test_another_operator_cannot_push_an_account(server: EmbeddedNats) -> None:
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await push_account(server.url, Trust.generate(), {})


async def test_the_account_has_jetstream(server: EmbeddedNats, connect: Connect) -> None:
    jetstream = (await connect(user_creds(server.trust, "projections", EVERYTHING))).client.jetstream()

    await jetstream.add_stream(name="EVENTS", subjects=["events.>"])
    await jetstream.publish("events.first", b"kept")

    assert (await jetstream.get_last_msg("EVENTS", "events.first")).data == b"kept"


async def test_the_system_account_is_apart_from_the_main_one(server: EmbeddedNats, connect: Connect) -> None:
    system = await connect(system_user_creds(server.trust))
    main = await connect(user_creds(server.trust, "main", EVERYTHING))
    heard = await system.client.subscribe("some.subject")
    await settled(system.client)

    await main.client.publish("some.subject", b"private")
    await settled(main.client)
    await settled(system.client)

    assert heard.pending_msgs == 0
    with pytest.raises((asyncio.TimeoutError, nats.errors.Error)):
        await main.client.request("$SYS.REQ.SERVER.PING", b"", timeout=0.3)


async def test_saved_credentials_connect_by_path(server: EmbeddedNats, tmp_path: Path) -> None:
    path = user_creds(server.trust, "edge", EVERYTHING).save(tmp_path / "edge.creds")

    connection = await nats.connect(server.url, user_credentials=str(path))

    assert connection.is_connected
    await connection.close()


def test_a_saved_trust_is_loaded_again_and_private(tmp_path: Path) -> None:
    trust = Trust.generate()

    trust.save(tmp_path / "trust")

    assert Trust.load(tmp_path / "trust") == trust
    assert stat.S_IMODE((tmp_path / "trust").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "trust").iterdir()] == [0o600]


def test_a_missing_or_broken_trust_is_a_clear_error_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(BusIdentityError, match=r"trust\.json is missing"):
        Trust.load(tmp_path)
    (tmp_path / "trust.json").write_text('{"operator_seed": "SOSECRET"}')
    with pytest.raises(BusIdentityError, match="not a bus trust") as failure:
        Trust.load(tmp_path)
    assert "SOSECRET" not in str(failure.value)


def test_no_secret_is_printed(tmp_path: Path) -> None:
    trust = Trust.generate()
    credentials = user_creds(trust, "edge", EVERYTHING)

    assert trust.operator_seed not in repr(trust)
    assert trust.signing_seed not in repr(trust)
    assert "SEED" not in repr(credentials)


def test_a_private_file_replaces_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"untouched")
    (tmp_path / "file").symlink_to(target)

    write_private_file(tmp_path / "file", b"secret")

    assert target.read_bytes() == b"untouched"
    assert not (tmp_path / "file").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "target"]
