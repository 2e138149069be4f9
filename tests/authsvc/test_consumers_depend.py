"""Bus credentials end with the right of the member who admitted them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import nats.errors
import pytest
from nats.aio.client import Client

from callboard.contracts.people import SessionOpened
from tests.authsvc.people import Office, key_of, person_of
from tests.authsvc.stack import Edge, Stack, refused
from tests.authsvc.test_authsvc_consumers import Reader, admit
from tests.support.waiting import eventually


async def demoted(office: Office, bob: SessionOpened) -> None:
    await office.give_role(person_of(bob), "operator")


async def removed(office: Office, bob: SessionOpened) -> None:
    await office.remove(person_of(bob))


@pytest.mark.parametrize("loses", [demoted, removed])
async def test_a_consumer_is_cut_off_when_who_admitted_it_may_not_any_more(
    stack: Stack, edge: Edge, loses: Callable[[Office, SessionOpened], Awaitable[None]]
) -> None:
    everywhere = await stack.make_streams()
    office = Office(edge)
    ann, bob = await office.join("ann", "owner"), await office.join("bob", "manager")
    admissions = {
        "of-bob": await admit(edge, "of-bob", by=key_of(bob)),
        "of-ann": await admit(edge, "of-ann", by=key_of(ann)),
        "of-nobody": await admit(edge, "of-nobody"),
    }
    readers = {name: await Reader(admission).connect() for name, admission in admissions.items()}

    await loses(office, bob)

    await eventually(lambda: not readers["of-bob"].client.is_connected)
    with pytest.raises((nats.errors.Error, OSError)):
        await Reader(admissions["of-bob"]).connect()
    assert [readers[name].client.is_connected for name in ("of-ann", "of-nobody")] == [True, True]

    async def bobs_is_gone() -> bool:
        return await _events(everywhere) == {"acme-FOR-of-ann", "acme-FOR-of-nobody"}

    await eventually(bobs_is_gone)  # what it read from goes after its connection
    [row] = await stack.rows("select meta from cb.event where type = 'consumer.dismissed'")
    assert "may not admit consumers any more" in row["meta"]
    for reader in readers.values():
        await reader.client.close()


async def test_who_lost_the_right_meanwhile_admits_nobody(stack: Stack, edge: Edge) -> None:
    await stack.make_streams()
    office = Office(edge)
    await office.join("ann", "owner")
    bob = await office.join("bob", "manager")
    await demoted(office, bob)

    await refused("auth.forbidden", admit(edge, by=key_of(bob)))


async def _events(client: Client) -> set[str]:
    return {info.name for info in await client.jetstream().consumers_info("CB_EVENTS")}
