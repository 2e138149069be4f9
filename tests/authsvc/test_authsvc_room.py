"""The room as a whole: start, restart, the administrator, several instances, and what goes away under it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import structlog
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.access import (
    OpenedSecrets,
    OpenSecrets,
    Principal,
    RevokeToken,
    StoreSecret,
    TokenRevoked,
    VerifyToken,
)
from callboard.contracts.layers import SYSTEM
from callboard.contracts.playbooks import Done
from callboard.contracts.status import AskStatus, InstanceStatus
from callboard.local.nats_server import EmbeddedNats
from callboard.local.postgres_server import EmbeddedPostgres
from callboard.platform.migrate import migrate
from callboard.platform.settings import SettingsRefused
from callboard_authsvc.app import Authsvc, read_materials
from tests.authsvc.stack import Edge, Stack, new_id, refused, some_token
from tests.support.databases import Databases
from tests.support.waiting import PATIENCE, Stalls, eventually, settled


async def verify(edge: Edge, token: str) -> Principal:
    return await edge.bus.ask(subjects.VERIFY_TOKEN, VerifyToken(token=token), Principal)


async def store(edge: Edge, value: str) -> Done:
    command = StoreSecret(command_id=new_id(), organisation="acme", secret="key", value=value)
    return await edge.bus.ask(subjects.STORE_SECRET, command, Done)


async def opened(stack: Stack) -> dict[str, str]:
    question = OpenSecrets(organisation="acme", secrets=("key",))
    return (await (await stack.bus_of("connectors")).ask(subjects.OPEN_SECRETS, question, OpenedSecrets)).values


async def test_an_organisation_is_created_once_and_asking_again_says_so(stack: Stack, edge: Edge) -> None:
    command_id = new_id()

    assert await edge.create("zeta", command_id) == Done(seq=1)
    assert await edge.create("zeta", command_id) == Done(seq=1)
    assert await edge.create("zeta") == Done(seq=0)

    assert await stack.events("zeta") == ["organisation.created"]
    [row] = await stack.rows("select stream, meta from cb.event where organisation = 'zeta'")
    assert row["stream"] == "organisation-zeta"
    assert '"actor":"ann"' in row["meta"]


async def test_a_bad_name_creates_nothing(stack: Stack, edge: Edge) -> None:
    for name in ("Acme", "*", "a.b", "", "\x00"):
        await refused("argument.invalid", edge.create(name))

    logs = await stack.rows("select organisation from cb.log_head")
    assert {row["organisation"] for row in logs} == {"acme", SYSTEM}


async def test_an_organisation_created_by_two_instances_at_once_begins_once(stack: Stack, edge: Edge) -> None:
    await stack.authsvc()

    answers = await asyncio.gather(*(edge.create("zeta") for _ in range(10)))

    assert sorted(answer.seq for answer in answers) == [0] * 9 + [1]
    assert await stack.events("zeta") == ["organisation.created"]


async def test_the_bootstrap_administrator_may_enter_every_organisation(stack: Stack) -> None:
    token = some_token(1)
    await stack.authsvc(bootstrap_token=token)
    edge = Edge(await stack.bus_of("edge"))

    principal = await verify(edge, token)

    assert (principal.organisation, principal.client, principal.scopes) == ("*", "administrator", ("administer",))
    assert token not in await stack.everything_stored()


async def test_a_changed_bootstrap_token_revokes_the_earlier_one_and_tells_the_edges(stack: Stack) -> None:
    old, new = some_token(1), some_token(2)
    first = await stack.authsvc(bootstrap_token=old)
    edge = Edge(await stack.bus_of("edge"))
    old_key = (await verify(edge, old)).key_id
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(msgspec.json.decode(message.data, type=TokenRevoked).key_id)

    await edge.bus.listen("cb.push.>", hear)
    await settled(edge.bus.client)
    await stack.stop(first)

    await stack.authsvc(bootstrap_token=new)

    await eventually(lambda: old_key in heard)
    await refused("auth.invalid", verify(edge, old))
    assert (await verify(edge, new)).client == "administrator"


async def test_a_start_without_a_bootstrap_token_leaves_the_administrator(stack: Stack) -> None:
    token = some_token(1)
    await stack.stop(await stack.authsvc(bootstrap_token=token))
    await stack.authsvc()
    edge = Edge(await stack.bus_of("edge"))

    assert (await verify(edge, token)).organisation == "*"


async def test_a_bootstrap_token_comes_back_when_it_is_set_again(stack: Stack) -> None:
    for fill in (1, 2, 1):
        await stack.stop(await stack.authsvc(bootstrap_token=some_token(fill)))
    await stack.authsvc(bootstrap_token=some_token(1))
    edge = Edge(await stack.bus_of("edge"))

    assert (await verify(edge, some_token(1))).client == "administrator"
    await refused("auth.invalid", verify(edge, some_token(2)))


async def test_the_token_of_a_client_cannot_become_the_administrators(stack: Stack, edge: Edge) -> None:
    issued = await edge.issue()

    with pytest.raises(SettingsRefused, match="CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN") as refusal:
        await stack.authsvc(bootstrap_token=issued.token)

    assert issued.token not in str(refusal.value)
    assert (await verify(edge, issued.token)).scopes == ("use",)


async def test_the_administrator_is_in_no_organisation_s_list_and_cannot_be_revoked_by_one(stack: Stack) -> None:
    token = some_token(1)
    await stack.authsvc(bootstrap_token=token)
    edge = Edge(await stack.bus_of("edge"))
    await edge.create("acme")
    key_id = (await verify(edge, token)).key_id

    for organisation, code in (("acme", "token.unknown"), ("*", "organisation.unknown")):
        command = RevokeToken(command_id=new_id(), organisation=organisation, key_id=key_id)
        await refused(code, edge.bus.ask(subjects.REVOKE_TOKEN, command, Done))

    assert (await verify(edge, token)).key_id == key_id


async def test_everything_survives_a_restart_of_the_service(stack: Stack, edge: Edge) -> None:
    issued, revoked = await edge.issue(), await edge.issue()
    await store(edge, "kept")
    command = RevokeToken(command_id=new_id(), organisation="acme", key_id=revoked.key_id)
    await edge.bus.ask(subjects.REVOKE_TOKEN, command, Done)

    await stack.stop(stack.rooms[0])
    await stack.authsvc(create_keys=False)

    assert (await verify(edge, issued.token)).key_id == issued.key_id
    await refused("auth.invalid", verify(edge, revoked.token))
    assert await opened(stack) == {"key": "kept"}
    assert await edge.create("acme") == Done(seq=0)


async def test_two_instances_share_everything(stack: Stack, edge: Edge) -> None:
    issued = await edge.issue()
    await store(edge, "kept")
    await stack.authsvc()

    await stack.stop(stack.rooms[0])

    assert (await verify(edge, issued.token)).key_id == issued.key_id
    assert await opened(stack) == {"key": "kept"}


async def test_another_key_file_is_refused_at_start(stack: Stack, edge: Edge) -> None:
    await store(edge, "kept")

    with pytest.raises(SettingsRefused, match="CALLBOARD_AUTHSVC_KEY_FILE"):
        await stack.authsvc(key_file=str(stack.directory / "other.key"))


async def test_every_instance_says_how_it_is(stack: Stack, edge: Edge) -> None:
    await stack.authsvc()

    answers = await edge.bus.gather(
        subjects.STATUS, AskStatus(), InstanceStatus, within=5, enough=lambda seen: len(seen) == 2
    )

    assert {(answer.room, answer.instance, answer.ready) for answer in answers} == {
        ("authsvc", "a1", True),
        ("authsvc", "a2", True),
    }


async def test_it_is_not_ready_before_its_start_and_after_its_stop(stack: Stack) -> None:
    room = Authsvc(read_materials(stack.settings()), "a0")
    assert not room.status().ready
    await room.start()
    assert room.status().ready

    await room.stop()

    assert not room.status().ready


async def test_it_stops_within_three_seconds_also_when_it_never_started(stack: Stack) -> None:
    started = await stack.authsvc()
    never = Authsvc(read_materials(stack.settings()), "a0")

    async with Stalls() as watch:
        await stack.stop(started)
        await never.stop()
        assert watch.elapsed < 3


async def test_it_waits_for_the_migrations(stack: Stack, databases: Databases) -> None:
    stack.dsn = await databases.empty()
    starting = asyncio.create_task(stack.authsvc())

    done, _ = await asyncio.wait({starting}, timeout=0.3)
    assert not done
    await migrate(stack.dsn)

    assert (await asyncio.wait_for(starting, PATIENCE)).status().ready


async def test_a_killed_postgres_is_waited_for(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg") as postgres, EmbeddedNats(tmp_path / "nats") as nats:
        await migrate(postgres.dsn)
        stack = Stack(tmp_path, nats, postgres.dsn)
        try:
            await stack.authsvc()
            edge = Edge(await stack.bus_of("edge"))
            await edge.create("acme")
            issued = await edge.issue()
            postgres.kill()

            command_id = new_id()
            verified = asyncio.create_task(verify(edge, issued.token))
            created = asyncio.create_task(edge.create("zeta", command_id))
            postgres.start()
            postgres.wait_ready()

            assert (await verified).key_id == issued.key_id
            assert await created == Done(seq=1)
            assert await edge.create("zeta", command_id) == Done(seq=1)

            postgres.kill()
            waiting = asyncio.create_task(verify(edge, issued.token))
            await settled(edge.bus.client)
            async with Stalls() as watch:
                await stack.stop(stack.rooms[0])
                assert watch.elapsed < 3
            waiting.cancel()
        finally:
            await stack.close()


async def test_a_killed_nats_is_reconnected_to_and_revocations_get_out(stack: Stack, edge: Edge) -> None:
    issued = await edge.issue()
    room = stack.rooms[0]
    stack.nats.kill()
    await eventually(lambda: not room.bus.connected)
    room._push.announce(issued.key_id)
    stack.nats.start()
    stack.nats.wait_ready()

    await eventually(lambda: room.bus.connected and edge.bus.connected)
    await eventually(lambda: room.status().figures["revocations_waiting"] == 0)

    assert (await verify(edge, issued.token)).key_id == issued.key_id


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (subjects.STORE_SECRET, {"command_id": 5, "organisation": "acme", "secret": "key", "value": "CANARY"}),
        (subjects.STORE_SECRET, {"organisation": "acme", "secret": "key", "value": "CANARY"}),
        (subjects.STORE_SECRET, {"type": "secret.store", "value": ["CANARY"]}),
        (subjects.VERIFY_TOKEN, {"token": ["CANARY"]}),
        (subjects.VERIFY_TOKEN, {"type": "CANARY-free", "token": "CANARY"}),
        (subjects.VERIFY_TOKEN, "CANARY"),
        (subjects.VERIFY_TOKEN, None),
    ],
)
async def test_a_malformed_message_is_refused_and_its_content_is_nowhere(
    edge: Edge, capsys: pytest.CaptureFixture[str], subject: str, message: object
) -> None:
    with logs() as written:
        reply = await edge.bus.client.request(subject, msgspec.json.encode(message), timeout=PATIENCE)

    assert reply.headers is not None
    assert reply.headers["cb-problem"] == "argument.invalid"
    assert b"value" in reply.data or b"CANARY" not in reply.data
    printed = capsys.readouterr()
    assert '"CANARY"' not in written.getvalue() + printed.out + printed.err
    assert "['CANARY']" not in written.getvalue() + printed.out + printed.err


@pytest.mark.parametrize("junk", [b"", b"{", b"\xff\xfe", b'{"token": "a", "token": "b"'])
async def test_junk_is_refused(edge: Edge, junk: bytes) -> None:
    reply = await edge.bus.client.request(subjects.VERIFY_TOKEN, junk, timeout=PATIENCE)

    assert reply.headers is not None
    assert reply.headers["cb-problem"] == "argument.invalid"


async def test_endless_nesting_is_answered_and_survived(edge: Edge) -> None:
    with logs():
        reply = await edge.bus.client.request(subjects.VERIFY_TOKEN, b"[" * 50_000, timeout=PATIENCE)

    assert reply.headers is not None
    assert "cb-problem" in reply.headers
    await refused("auth.invalid", verify(edge, "junk"))


async def test_no_secret_is_logged_when_postgres_breaks_in_the_middle(stack: Stack, edge: Edge) -> None:
    await (await stack.pool()).execute("alter table cb.secret add constraint never check (version < 0)")

    with logs() as written:
        await refused("internal.unexpected", store(edge, "CANARY"))

    assert "handler_failed" in written.getvalue()
    assert "CANARY" not in written.getvalue()
    assert await stack.events("acme") == ["organisation.created"]


@contextlib.contextmanager
def logs() -> Iterator[io.StringIO]:
    """Everything that is logged, with exceptions in full."""
    written = io.StringIO()
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(written),
        cache_logger_on_first_use=False,
    )
    try:
        yield written
    finally:
        structlog.configure(**before)


def environment(stack: Stack, **changes: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "CALLBOARD_NATS_URL": stack.nats.url,
        "CALLBOARD_NATS_CREDENTIALS": stack.credentials("authsvc"),
        "CALLBOARD_DATABASE_URL": stack.dsn,
        "CALLBOARD_AUTHSVC_KEY_FILE": str(stack.key_file),
        "CALLBOARD_AUTHSVC_CREATE_KEYS": "1",
        "CALLBOARD_AUTHSVC_TRUST_DIR": str(stack.nats.log_path.parent / "trust"),
        "CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN": some_token(1),
    } | changes


@contextlib.contextmanager
def process(stack: Stack, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", "callboard_authsvc"],
        env=environment(stack, **changes),
        stderr=subprocess.PIPE,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


async def test_it_runs_as_a_process_survives_a_kill_and_stops_on_sigterm(stack: Stack) -> None:
    edge = Edge(await stack.bus_of("edge"))
    with process(stack) as first:
        await eventually(lambda: is_administrator(edge))
        await edge.create("acme")
        issued = await edge.issue()
        first.send_signal(signal.SIGKILL)
        first.wait(PATIENCE)
    with process(stack) as second:
        await eventually(lambda: is_administrator(edge))
        assert (await verify(edge, issued.token)).key_id == issued.key_id
        async with Stalls() as watch:
            second.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(second.wait, PATIENCE) == 0
            assert watch.elapsed < 3
        assert second.stderr is not None
        said = second.stderr.read().decode()
    assert '"event": "ready"' in said
    assert "error" not in said
    assert some_token(1) not in said


async def is_administrator(edge: Edge) -> bool:
    with contextlib.suppress(Exception):
        return (await verify(edge, some_token(1))).organisation == "*"
    return False


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN": "cbk_CANARY"}, "CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN"),
        ({"CALLBOARD_AUTHSVC_CREATE_KEYS": "0"}, "CALLBOARD_AUTHSVC_KEY_FILE"),
        ({"CALLBOARD_AUTHSVC_TRUST_DIR": "/nowhere"}, "CALLBOARD_AUTHSVC_TRUST_DIR"),
        ({"CALLBOARD_AUTHSVC_TURST_DIR": "CANARY"}, "CALLBOARD_AUTHSVC_TURST_DIR"),
    ],
)
async def test_a_bad_setting_is_refused_at_start_by_its_name(stack: Stack, changes: dict[str, str], named: str) -> None:
    with process(stack, **changes) as child:
        assert await asyncio.to_thread(child.wait, PATIENCE) == 2
        assert child.stderr is not None
        said = child.stderr.read().decode()

    assert named in said
    assert "CANARY" not in said
    assert "Traceback" not in said
