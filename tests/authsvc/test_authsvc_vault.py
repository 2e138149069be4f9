"""The vault over the bus: the edge stores, only connectors open, and the tables help nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callboard.contracts import subjects
from callboard.contracts.access import (
    AskSecrets,
    AskTaskKey,
    DestroySecret,
    OpenedSecrets,
    OpenSecrets,
    Secrets,
    StoreSecret,
    TaskKey,
)
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus
from callboard.platform.event_store import request_hash
from tests.authsvc.stack import Edge, Stack, new_id, refused

VALUE = "correct horse battery staple ✓"


async def store(edge: Edge, value: str = VALUE, organisation: str = "acme", secret: str = "key", **rest: Any) -> Done:
    command = StoreSecret(
        **{"command_id": new_id(), "organisation": organisation, "secret": secret, "value": value} | rest
    )
    return await edge.bus.ask(subjects.STORE_SECRET, command, Done)


async def destroy(edge: Edge, secret: str = "key", organisation: str = "acme", command_id: str = "") -> Done:
    command = DestroySecret(command_id=command_id or new_id(), organisation=organisation, secret=secret)
    return await edge.bus.ask(subjects.DESTROY_SECRET, command, Done)


async def open_(connectors: Bus, *secrets: str, organisation: str = "acme") -> dict[str, str]:
    question = OpenSecrets(organisation=organisation, secrets=secrets)
    return (await connectors.ask(subjects.OPEN_SECRETS, question, OpenedSecrets)).values


@pytest.fixture
async def connectors(stack: Stack) -> Bus:
    return await stack.bus_of("connectors")


async def test_a_stored_secret_is_opened_for_a_connector(edge: Edge, connectors: Bus) -> None:
    await store(edge)
    await store(edge, "another", secret="GITHUB_TOKEN")

    assert await open_(connectors, "key", "GITHUB_TOKEN") == {"key": VALUE, "GITHUB_TOKEN": "another"}
    assert await open_(connectors) == {}


async def test_the_newest_version_is_the_one_used(edge: Edge, connectors: Bus) -> None:
    await store(edge, "first")
    await store(edge, "second")

    assert await open_(connectors, "key") == {"key": "second"}
    [line] = (await edge.bus.ask(subjects.SECRETS, AskSecrets(organisation="acme"), Secrets)).secrets
    assert (line.secret, line.version) == ("key", 2)


async def test_the_value_is_in_no_table_no_event_and_no_repr(stack: Stack, edge: Edge) -> None:
    await store(edge)

    stored = await stack.everything_stored()

    assert "secret.stored" in stored
    assert VALUE not in stored
    assert VALUE.encode().hex() not in stored
    [row] = await stack.rows("select ciphertext from cb.secret")
    assert b"horse" not in row["ciphertext"]
    assert VALUE not in repr(StoreSecret(command_id="c", organisation="acme", secret="key", value=VALUE))
    assert VALUE not in repr(OpenedSecrets(values={"key": VALUE}))


async def test_the_log_holds_nothing_by_which_a_short_value_could_be_guessed(stack: Stack, edge: Edge) -> None:
    command = StoreSecret(command_id=new_id(), organisation="acme", secret="pin", value="1234")
    await edge.bus.ask(subjects.STORE_SECRET, command, Done)

    hashes = [row["request_hash"] for row in await stack.rows("select request_hash from cb.command")]

    assert request_hash(command) not in hashes


async def test_every_missing_secret_is_named(edge: Edge, connectors: Bus) -> None:
    await store(edge)

    problem = await refused("secret.unknown", open_(connectors, "key", "one", "two"))

    assert problem.data == {"secrets": ["one", "two"]}
    assert "one, two" in problem.message


@pytest.mark.parametrize("name", ["", "a b", "\x00", "../key", "key'--"])
async def test_a_name_that_cannot_be_is_unknown(edge: Edge, connectors: Bus, name: str) -> None:
    await refused("secret.unknown", open_(connectors, name))
    await refused("secret.unknown", destroy(edge, name))
    await refused("argument.invalid", store(edge, secret=name))


async def test_an_organisation_cannot_open_the_secrets_of_another(edge: Edge, connectors: Bus) -> None:
    await edge.create("zeta")
    await store(edge)

    await refused("secret.unknown", open_(connectors, "key", organisation="zeta"))
    await refused("secret.unknown", destroy(edge, organisation="zeta"))
    assert (await edge.bus.ask(subjects.SECRETS, AskSecrets(organisation="zeta"), Secrets)).secrets == ()
    assert await open_(connectors, "key") == {"key": VALUE}


async def test_a_row_moved_to_another_place_does_not_open(stack: Stack, edge: Edge, connectors: Bus) -> None:
    await edge.create("zeta")
    await store(edge)
    await store(edge, "of zeta", organisation="zeta")
    pool = await stack.pool()
    copied = "select $1, $2, version, nonce, ciphertext, stored_at from cb.secret"

    # A value of acme under its own name at zeta, which has another data key.
    await pool.execute("delete from cb.secret where organisation = 'zeta'")
    await pool.execute(f"insert into cb.secret {copied} where organisation = 'acme'", "zeta", "key")
    await refused("secret.unreadable", open_(connectors, "key", organisation="zeta"))
    # The data key with it: that is wrapped for acme.
    await pool.execute(
        "update cb.data_key set wrapped = (select wrapped from cb.data_key where organisation = 'acme')"
        " where organisation = 'zeta'"
    )
    await refused("secret.unreadable", open_(connectors, "key", organisation="zeta"))
    # Under another name in its own organisation.
    await pool.execute(f"insert into cb.secret {copied} where organisation = 'acme'", "acme", "other")
    await refused("secret.unreadable", open_(connectors, "other"))

    assert await open_(connectors, "key") == {"key": VALUE}


async def test_an_older_version_put_in_the_place_of_the_newest_does_not_open(
    stack: Stack, edge: Edge, connectors: Bus
) -> None:
    await store(edge, "first")
    await store(edge, "second")

    await (await stack.pool()).execute(
        "update cb.secret set (nonce, ciphertext) = (select nonce, ciphertext from cb.secret where version = 1)"
        " where version = 2"
    )

    await refused("secret.unreadable", open_(connectors, "key"))


async def test_a_destroyed_secret_is_gone_with_every_version(stack: Stack, edge: Edge, connectors: Bus) -> None:
    await store(edge, "first")
    await store(edge, "second")
    command_id = new_id()

    first = await destroy(edge, command_id=command_id)
    second = await destroy(edge, command_id=command_id)

    assert first == second == Done(seq=4)
    assert await stack.rows("select 1 from cb.secret") == []
    await refused("secret.unknown", open_(connectors, "key"))
    await refused("secret.unknown", destroy(edge))
    await store(edge, "third")
    assert await open_(connectors, "key") == {"key": "third"}


async def test_a_command_delivered_twice_stores_one_version(stack: Stack, edge: Edge, connectors: Bus) -> None:
    command_id = new_id()

    first = await store(edge, command_id=command_id)
    second = await store(edge, command_id=command_id)

    assert first == second
    assert len(await stack.rows("select 1 from cb.secret")) == 1
    problem = await refused("command.reused", store(edge, "another value", command_id=command_id))
    assert "another value" not in problem.message
    assert await open_(connectors, "key") == {"key": VALUE}


async def test_first_secrets_stored_at_once_by_two_instances_share_one_data_key(
    stack: Stack, edge: Edge, connectors: Bus
) -> None:
    await stack.authsvc()

    await asyncio.gather(*(store(edge, f"value {number}", secret=f"key-{number}") for number in range(10)))

    assert len(await stack.rows("select 1 from cb.data_key")) == 1
    names = [f"key-{number}" for number in range(10)]
    assert await open_(connectors, *names) == {f"key-{number}": f"value {number}" for number in range(10)}


async def test_each_organisation_has_its_own_data_key(stack: Stack, edge: Edge) -> None:
    await edge.create("zeta")
    await store(edge)
    await store(edge, organisation="zeta")

    rows = await stack.rows("select kek_id, wrapped from cb.data_key")

    assert len({bytes(row["wrapped"]) for row in rows}) == 2
    assert {row["kek_id"] for row in rows} == {"file:" + rows[0]["kek_id"][5:]}


async def test_an_edge_may_not_open_secrets(edge: Edge) -> None:
    await store(edge)

    question = OpenSecrets(organisation="acme", secrets=("key",))

    await refused("bus.unavailable", edge.bus.ask(subjects.OPEN_SECRETS, question, OpenedSecrets, within=0.5))


async def test_nothing_is_stored_for_an_organisation_that_does_not_exist(edge: Edge, connectors: Bus) -> None:
    await refused("organisation.unknown", store(edge, organisation="nobody"))
    await refused("organisation.unknown", destroy(edge, organisation="nobody"))
    await refused("organisation.unknown", edge.bus.ask(subjects.SECRETS, AskSecrets(organisation="nobody"), Secrets))
    await refused("secret.unknown", open_(connectors, "key", organisation="nobody"))


async def test_a_value_with_every_kind_of_character_comes_back_as_it_was(edge: Edge, connectors: Bus) -> None:
    value = "\x00\n\t\"'\\ä€😀" + "x" * 60_000

    await store(edge, value)

    assert await open_(connectors, "key") == {"key": value}


async def key_of(bus: Bus, organisation: str) -> bytes:
    return (await bus.ask(subjects.TASK_KEY, AskTaskKey(organisation=organisation), TaskKey, within=2.0)).key


async def test_every_worker_gets_the_same_key_for_task_ids_and_every_organisation_another(
    stack: Stack, edge: Edge, connectors: Bus
) -> None:
    key = await key_of(connectors, "acme")

    assert len(key) == 64
    assert await key_of(await stack.bus_of("connectors"), "acme") == key
    assert await key_of(connectors, "zeta") != key
    assert key.hex() not in repr(TaskKey(key=key))


async def test_an_edge_may_not_have_the_key_for_task_ids(edge: Edge) -> None:
    await refused("bus.unavailable", key_of(edge.bus, "acme"))
