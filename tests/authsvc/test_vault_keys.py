"""Keys that follow one another: the data key of an organisation, and the key that wraps it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import pytest_asyncio

from callboard.contracts import subjects
from callboard.contracts.access import IssueToken, OpenedSecrets, OpenSecrets, StoreSecret, TokenIssued
from callboard.contracts.personal import AskPersons, OpenedPersonal, OpenPersonal, Persons
from callboard.contracts.playbooks import Done
from callboard.contracts.vault import RotateDataKey, ShredVault
from callboard.platform.bus import Bus
from callboard.platform.settings import SettingsRefused
from callboard_authsvc.adapters.key_file import KeyFile
from callboard_authsvc.vault.sealing import place_of_data_key, place_of_secret, seal
from tests.authsvc.stack import Edge, Stack, new_id, refused
from tests.support.waiting import eventually


@pytest_asyncio.fixture
async def connectors(stack: Stack) -> Bus:
    return await stack.bus_of("connectors")


async def store(edge: Edge, secret: str, value: str) -> None:
    command = StoreSecret(command_id=new_id(), organisation="acme", secret=secret, value=value)
    await edge.bus.ask(subjects.STORE_SECRET, command, Done)


async def opened(bus: Bus, *names: str) -> dict[str, str]:
    question = OpenSecrets(organisation="acme", secrets=names)
    return (await bus.ask(subjects.OPEN_SECRETS, question, OpenedSecrets, within=5)).values


async def rotate(edge: Edge, command_id: str = "") -> Done:
    command = RotateDataKey(command_id=command_id or new_id(), organisation="acme", actor="ann")
    return await edge.bus.ask(subjects.ROTATE_DATA_KEY, command, Done)


async def test_a_new_data_key_seals_everything_again_and_nothing_is_unreadable_meanwhile(
    stack: Stack, edge: Edge, connectors: Bus
) -> None:
    await stack.authsvc()
    names = [f"key-{number}" for number in range(8)]
    for name in names:
        await store(edge, name, f"of {name}")
    before = {bytes(row["ciphertext"]) for row in await stack.rows("select ciphertext from cb.secret")}

    reading = [opened(connectors, *names) for _ in range(20)]
    done, *found = await asyncio.gather(rotate(edge), *reading)
    command_id = new_id()
    again = await rotate(edge, command_id)

    assert all(each == {name: f"of {name}" for name in names} for each in found)
    assert (await rotate(edge, command_id)) == again
    assert again.seq == done.seq + 1
    rows = await stack.rows("select key_version, ciphertext from cb.secret")
    assert {row["key_version"] for row in rows} == {3}
    assert before.isdisjoint({bytes(row["ciphertext"]) for row in rows})
    assert await opened(connectors, *names) == {name: f"of {name}" for name in names}
    assert (await stack.events("acme"))[-2:] == ["vault.key_rotated"] * 2


async def test_an_old_data_key_stays_for_who_was_sealing_and_goes_when_nothing_needs_it(
    stack: Stack, edge: Edge, connectors: Bus
) -> None:
    await store(edge, "key", "value")
    await rotate(edge)
    assert len(await stack.rows("select 1 from cb.data_key")) == 2
    pool = await stack.pool()

    await pool.execute("update cb.data_key set retired_at = retired_at - interval '2 hours' where version = 1")
    await rotate(edge)

    rows = await stack.rows("select version from cb.data_key order by version")
    assert [row["version"] for row in rows] == [2, 3]
    assert await opened(connectors, "key") == {"key": "value"}


async def test_a_rotation_that_was_interrupted_is_finished_by_whoever_starts_next(
    stack: Stack, edge: Edge, connectors: Bus
) -> None:
    await store(edge, "key", "value")
    await rotate(edge)
    (first,) = stack.rooms
    key = await first_key(stack)
    # As if somebody had sealed under the first key while the second came.
    await (await stack.pool()).execute(
        "insert into cb.secret (organisation, secret, version, nonce, ciphertext, stored_at, key_version)"
        " values ('acme', 'late', 1, $1, $2, now(), 1)",
        b"n" * 12,
        sealed_with(key, "late", "too late"),
    )
    await stack.stop(first)

    await stack.authsvc()

    async def resealed() -> bool:
        return {row["key_version"] for row in await stack.rows("select key_version from cb.secret")} == {2}

    await eventually(resealed)
    assert await opened(connectors, "key", "late") == {"key": "value", "late": "too late"}


async def first_key(stack: Stack) -> bytes:
    (row,) = await stack.rows("select kek_id, wrapped from cb.data_key where version = 1")
    keys = KeyFile.load(stack.key_file, os.urandom, create=False)
    return await keys.unwrap(row["kek_id"], bytes(row["wrapped"]), place_of_data_key("acme"))


def sealed_with(key: bytes, secret: str, value: str) -> bytes:
    return seal(key, b"n" * 12, value.encode(), place_of_secret("acme", secret, 1))


async def test_another_key_encryption_key_takes_over_without_a_pause(
    stack: Stack, edge: Edge, connectors: Bus, tmp_path: Path
) -> None:
    await store(edge, "key", "value")
    issue = IssueToken(command_id=new_id(), organisation="acme", client="ann", person=True)
    await edge.bus.ask(subjects.ISSUE_TOKEN, issue, TokenIssued)
    new = tmp_path / "new.key"
    KeyFile.load(new, os.urandom, create=True)
    (first,) = stack.rooms

    second = await stack.authsvc(wrapping_key_files=str(new))
    await stack.stop(first)

    async def rewrapped() -> bool:
        wrapped = "select kek_id from cb.data_key union select kek_id from cb.person_key"
        ids = {row["kek_id"] for row in await stack.rows(wrapped)}
        return ids == {KeyFile.load(new, os.urandom, create=False).current()}

    await eventually(rewrapped)
    assert await opened(connectors, "key") == {"key": "value"}
    (person,) = (await edge.bus.ask(subjects.PERSONS, AskPersons(organisation="acme"), Persons)).persons
    sealed = OpenPersonal(organisation="acme", sealed=(person.name,))
    assert (await edge.bus.ask(subjects.OPEN_PERSONAL, sealed, OpenedPersonal)).opened == {person.name: "ann"}
    await stack.stop(second)
    with pytest.raises(SettingsRefused, match="another key file"):
        await stack.authsvc()
    stack.rooms.clear()


async def test_a_shredded_vault_opens_nowhere_and_copies_of_it_do_not_either(
    stack: Stack, edge: Edge, connectors: Bus
) -> None:
    await store(edge, "key", "value")
    (copy,) = await stack.rows("select * from cb.secret")
    command = ShredVault(command_id=new_id(), organisation="acme", comment="they left", actor="ann")
    await refused(
        "comment.required",
        edge.bus.ask(subjects.SHRED_VAULT, ShredVault(command_id=new_id(), organisation="acme", comment=""), Done),
    )

    await edge.bus.ask(subjects.SHRED_VAULT, command, Done)

    assert await stack.rows("select 1 from cb.data_key") == []
    await refused("secret.unknown", opened(connectors, "key"))
    await store(edge, "other", "new")
    await (await stack.pool()).execute(
        "insert into cb.secret (organisation, secret, version, nonce, ciphertext, stored_at, key_version)"
        " values ($1, $2, $3, $4, $5, $6, $7)",
        *copy,
    )
    await refused("secret.unreadable", opened(connectors, "key"))
    assert await opened(connectors, "other") == {"other": "new"}
    assert "vault.shredded" in await stack.events("acme")
