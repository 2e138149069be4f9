"""Persons over the bus: sealed from the first token on, erased for good, and the chain holds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from callboard.contracts import subjects
from callboard.contracts.access import Principal, TokenIssued, VerifyToken
from callboard.contracts.people import AcceptInvitation, Joined
from callboard.contracts.personal import AskPersons, ErasePerson, OpenedPersonal, OpenPersonal, PersonLine, Persons
from callboard.contracts.playbooks import Done
from callboard.kernel.log_export import NotAnExport, erased_in, first_line, last_line, row_line
from callboard.kernel.personal import ERASED, is_person, person_of
from callboard.platform.backup import back_up, restore
from callboard_projections.audit.rows import log_rows
from callboard_projections.audit.verify import verify
from tests.authsvc.people import Office, key_of
from tests.authsvc.people import person_of as id_of
from tests.authsvc.stack import Edge, Stack, new_id, refused
from tests.support.databases import Databases, connected
from tests.support.waiting import PATIENCE, settled

NAME = "ann-of-the-second-floor"
GRANT = (
    "insert into cb.upstream_grant (organisation, server, subject, version, sealed, issuer, scopes) "
    "values ('acme', 'git', $1, 1, '', 'https://id', '{}')"
)


async def issued(edge: Edge, client: str = NAME, **rest: Any) -> tuple[TokenIssued, Principal]:
    token = await edge.issue(client=client, **{"person": True} | rest)
    return token, await edge.bus.ask(subjects.VERIFY_TOKEN, VerifyToken(token=token.token), Principal)


async def opened(edge: Edge, *sealed: str, organisation: str = "acme") -> dict[str, str]:
    question = OpenPersonal(organisation=organisation, sealed=sealed)
    return (await edge.bus.ask(subjects.OPEN_PERSONAL, question, OpenedPersonal)).opened


async def erase(edge: Edge, person: str, **rest: Any) -> Done:
    command = {"command_id": new_id(), "organisation": "acme", "person": person, "comment": "asked to"}
    return await edge.bus.ask(subjects.ERASE_PERSON, ErasePerson(**command | rest), Done)


async def persons(edge: Edge) -> tuple[PersonLine, ...]:
    return (await edge.bus.ask(subjects.PERSONS, AskPersons(organisation="acme"), Persons)).persons


async def test_the_name_of_a_person_is_in_no_table_and_no_event_and_opens_for_the_edge(
    stack: Stack, edge: Edge
) -> None:
    token, principal = await issued(edge)
    other, again = await issued(edge, person=False)  # a name that is a person's stays one

    assert (token.client, other.client) == (NAME, NAME)
    assert principal.client == again.client
    assert person_of(principal.client) is not None
    stored = await stack.everything_stored()
    assert "client.token_issued" in stored
    assert NAME not in stored
    assert await opened(edge, principal.client) == {principal.client: NAME}
    [line] = await persons(edge)
    assert (line.person, line.name, line.erased_at) == (person_of(principal.client), principal.client, None)


async def test_an_erased_person_is_erased_everywhere_and_the_chain_holds(stack: Stack, edge: Edge) -> None:
    token, principal = await issued(edge)
    _, bob = await issued(edge, "bob")
    pushed = await _revocations(stack)
    for subject in (principal.client, bob.client):
        await stack.rows(GRANT, subject)

    done = await erase(edge, NAME)

    assert [row["subject"] for row in await stack.rows("select subject from cb.upstream_grant")] == [bob.client]

    person = person_of(principal.client)
    assert (await stack.events("acme"))[done.seq - 1] == "person.erased"
    [row] = await stack.rows("select payload, stream from cb.event where seq = $1 and organisation = 'acme'", done.seq)
    assert (row["payload"], row["stream"]) == (f'{{"type":"person.erased","person":"{person}"}}', f"person-{person}")
    assert await opened(edge, principal.client, bob.client) == {principal.client: ERASED, bob.client: "bob"}
    await refused("auth.invalid", edge.bus.ask(subjects.VERIFY_TOKEN, VerifyToken(token=token.token), Principal))
    assert (await asyncio.wait_for(pushed.get(), PATIENCE)).endswith(f'"{token.key_id}"}}'.encode())
    [erased, _] = await persons(edge)
    assert (erased.person, erased.name, erased.erased_at is None) == (person, "", False)
    [key] = await stack.rows("select kek_id, wrapped, name_tag, name from cb.person_key where person = $1", person)
    assert tuple(key) == (None, None, None, "")
    assert (await verify(await stack.pool(), "acme")).intact


async def _revocations(stack: Stack) -> asyncio.Queue[bytes]:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    client = await stack.everywhere()

    async def put(message: Any) -> None:
        heard.put_nowait(message.data)

    await client.subscribe(subjects.TOKEN_REVOKED, cb=put)
    await settled(client)
    return heard


async def test_erasing_again_changes_nothing_and_whoever_comes_under_the_name_is_somebody_else(edge: Edge) -> None:
    _, before = await issued(edge)
    command_id = new_id()
    first = await erase(edge, str(person_of(before.client)), command_id=command_id)

    assert await erase(edge, str(person_of(before.client)), command_id=command_id) == first
    assert (await erase(edge, str(person_of(before.client)))).seq == 0
    await refused("person.unknown", erase(edge, NAME))
    await refused("person.unknown", edge.issue(client=str(person_of(before.client)), person=True))
    _, after = await issued(edge)
    assert person_of(after.client) != person_of(before.client)
    assert await opened(edge, before.client, after.client) == {before.client: ERASED, after.client: NAME}


async def test_what_is_refused(edge: Edge) -> None:
    _, principal = await issued(edge)
    await refused("comment.required", erase(edge, NAME, comment=" "))
    await refused("argument.invalid", erase(edge, NAME, comment=f"{NAME.upper()} asked for it"))
    await refused("person.unknown", erase(edge, "nobody"))
    await refused("organisation.unknown", erase(edge, NAME, organisation="beta"))
    await refused("argument.invalid", edge.issue(client=principal.client))
    assert is_person((await persons(edge))[0].person)


async def test_another_organisation_opens_nothing(edge: Edge) -> None:
    _, principal = await issued(edge)
    await edge.create("beta")
    _, beta = await issued(edge, organisation="beta")

    assert person_of(beta.client) != person_of(principal.client)
    assert await opened(edge, principal.client, "ann", organisation="beta") == {}
    assert await opened(edge, beta.client, organisation="beta") == {beta.client: NAME}


async def test_the_same_name_given_to_two_tokens_at_once_is_one_person(edge: Edge) -> None:
    found = await asyncio.gather(*(issued(edge) for _ in range(6)))
    assert len({principal.client for _, principal in found}) == 1
    assert len(await persons(edge)) == 1


async def test_an_erased_member_leaves_nothing_but_an_id(stack: Stack, edge: Edge) -> None:
    office = Office(edge)
    owner, ann = await office.join("olga", "owner"), await office.join("ann", "manager")
    await office.invite("user", email="ann@example.com")
    token = await edge.issue(client=id_of(ann), by=key_of(ann), scopes=("use",))

    done = await erase(edge, "Ann@example.com", by=key_of(owner))

    assert (await stack.events("acme"))[done.seq - 2 :] == ["member.removed", "person.erased"]
    stored = await stack.everything_stored()
    assert "ann@example.com" not in stored
    assert "olga@example.com" in stored
    assert "'ann'" not in stored
    await refused("auth.invalid", office.whose(ann.session))
    await refused("auth.invalid", office.verify(token.token))
    await refused("login.refused", office.sign_in("ann@example.com"))
    assert (await erase(edge, id_of(ann), by=key_of(owner))).seq == 0
    assert (await verify(await stack.pool(), "acme")).intact


async def test_an_account_goes_with_its_last_organisation(stack: Stack, edge: Edge) -> None:
    office = Office(edge)
    await edge.create("beta")
    ann = await office.join("ann", "manager")
    there = await office.invite("user", organisation="beta")
    accept = AcceptInvitation(command_id=new_id(), token=there.token, session=ann.session)
    await office.bus.ask(subjects.ACCEPT_INVITATION, accept, Joined)
    await office.join("olga", "owner")

    await erase(edge, id_of(ann))
    assert [member.email for member in (await office.members("beta")).members] == ["ann@example.com"]
    await office.remove(id_of(ann), organisation="beta")
    await erase(edge, id_of(ann), organisation="beta")
    assert "ann@example.com" not in await stack.everything_stored()


async def test_nobody_erases_who_may_do_more_nor_the_last_owner(edge: Edge) -> None:
    office = Office(edge)
    owner, admin = await office.join("olga", "owner"), await office.join("adam", "admin")
    manager = await office.join("mary", "manager")
    await issued(edge)

    await refused("auth.forbidden", erase(edge, id_of(owner), by=key_of(admin)))
    await refused("auth.forbidden", erase(edge, id_of(admin), by=key_of(manager)))
    await refused("auth.forbidden", erase(edge, NAME, by=key_of(manager)))
    await refused("member.last_owner", erase(edge, id_of(owner)))
    await refused("person.unknown", erase(edge, "nobody@example.com"))
    assert len((await office.members()).members) == 3


async def test_a_backup_from_before_is_restored_without_whom_a_later_log_erased(
    stack: Stack, edge: Edge, databases: Databases, tmp_path: Path
) -> None:
    _, ann = await issued(edge)
    _, bob = await issued(edge, "bob")
    office = Office(edge)
    member, _ = await office.join("mary", "manager"), await office.join("olga", "owner")
    await stack.rows(GRANT, ann.client)
    with open(tmp_path / "before", "wb") as file:
        await back_up(stack.dsn, file, str)
    await erase(edge, NAME)
    await erase(edge, id_of(member))
    found = await log_rows(await stack.pool(), "acme", 0, 100)
    export = [first_line("acme"), *map(row_line, found.rows), last_line(found.head)]
    erasures = erased_in(export)

    assert erasures == {("acme", person_of(ann.client)), ("acme", id_of(member))}
    assert await _persons_restored(databases, tmp_path / "before", set()) == {
        person_of(ann.client): (True, False), person_of(bob.client): (True, False),
    }, "without the list the key is there again: nothing else knows of the erasure"  # fmt: skip
    assert await _persons_restored(databases, tmp_path / "before", erasures) == {
        person_of(ann.client): (False, True), person_of(bob.client): (True, False),
    }  # fmt: skip
    with open(tmp_path / "after", "wb") as file:
        await back_up(stack.dsn, file, str)
    assert (await _persons_restored(databases, tmp_path / "after", set()))[person_of(ann.client)] == (False, True)
    with pytest.raises(NotAnExport):
        erased_in([line for line in export if b"person.erased" not in line])


async def _persons_restored(
    databases: Databases, backup: Path, erased: set[tuple[str, str]]
) -> dict[str | None, tuple[bool, bool]]:
    """Person -> whether the key is there, and whether all tokens are revoked."""
    dsn = await databases.migrated()
    await restore(dsn, backup, str, erased)
    async with connected(dsn) as connection:
        known = [row["name"] for row in await connection.fetch("select name from cb.person order by name")]
        assert known == (["olga"] if erased or backup.name == "after" else ["mary", "olga"])
        grants = await connection.fetchval("select count(*) from cb.upstream_grant")
        assert grants == (0 if erased or backup.name == "after" else 1)
        rows = await connection.fetch(
            "select person, wrapped is not null as held, bool_and(revoked_at is not null) as refused "
            "from cb.person_key join cb.token using (organisation, person) group by organisation, person, held"
        )
    return {row["person"]: (row["held"], row["refused"]) for row in rows}
