"""An access token is worth what its grant is worth now: a real authsvc gives and takes, a real edge lets in or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from callboard.contracts import oauth_subjects, subjects
from callboard.contracts.definitions import PlaybookContent, PlaybookDefinition
from callboard.contracts.events import EventMeta, PlaybookPublished
from callboard.contracts.layers import SYSTEM
from callboard.contracts.oauth_server import (
    AddServiceClient,
    AskGrants,
    ClientProof,
    ClientRegistered,
    Grants,
    IssuedTokens,
    RevokeGrant,
    UseCredentials,
)
from callboard.contracts.people import CreateServiceAccount, RemoveMember
from callboard.contracts.playbooks import Done
from callboard.platform.bus import Bus
from callboard.platform.event_store import EventStore, Write
from callboard.platform.settings import Sensitive
from tests.authsvc.stack import Edge as Asking
from tests.authsvc.stack import Stack, new_id, some_token
from tests.edge.gateway import Gateway, running_edge
from tests.edge.issuing import Issuer
from tests.support.backends import free_port, nats_server
from tests.support.waiting import promised

ADMIN = some_token(9)


class World:
    """An organisation with a service account, and its client."""

    def __init__(self, gateway: Gateway, stack: Stack, bus: Bus) -> None:
        self.gateway = gateway
        self.stack = stack
        self.bus = bus
        self.client = ClientProof()

    async def make(self) -> None:
        await Asking(self.bus).create("acme")
        await self._publish("start")
        account = CreateServiceAccount(
            command_id=new_id(), organisation="acme", account="robot", role="operator", by="", actor="test"
        )
        await self.bus.ask(subjects.CREATE_SERVICE_ACCOUNT, account, Done)
        adding = AddServiceClient(command_id=new_id(), organisation="acme", account="robot")
        added = await self.bus.ask(oauth_subjects.ADD_SERVICE_CLIENT, adding, ClientRegistered)
        self.client = ClientProof(client_id=added.client_id, secret=added.client_secret)

    async def _publish(self, playbook: str) -> None:
        """As the router does, which is not here."""
        content = PlaybookContent(definition=PlaybookDefinition(), tools={}, prompts={}, resources={})
        event = PlaybookPublished(playbook=playbook, version=1, content=content, content_digest="d")
        command = RevokeGrant(command_id=new_id(), organisation="acme", grant="")

        async def nobody_listens(organisation: str, seq: int) -> None:
            """No router."""

        store = EventStore(await self.stack.pool(), nobody_listens)
        write = Write(f"playbook-{playbook}", (event,), 0)
        await store.append("acme", command.command_id, command, EventMeta(actor="test"), [write])

    async def token(self, path: str = "/p/acme/start/mcp", *scopes: str) -> str:
        asked = UseCredentials(proof=self.client, scopes=scopes, resource=self.gateway.url + path)
        return (await self.bus.ask(oauth_subjects.CLIENT_CREDENTIALS, asked, IssuedTokens)).access_token

    async def refused_soon(self, token: str, status: int = 401) -> None:
        async def is_refused() -> bool:
            return (await self.gateway.listed(token)).status_code == status

        await promised(is_refused, within=2.0, every=0.02)

    async def as_administrator(
        self, method: str, path: str, **more: object
    ) -> tuple[int, dict[str, list[dict[str, str]]]]:
        answer = await self.gateway.request(method, f"/api/v1{path}", ADMIN, **more)
        return answer.status_code, answer.json()


@pytest_asyncio.fixture
async def world(tmp_path: Path, dsn: str) -> AsyncIterator[World]:
    with nats_server(tmp_path) as nats:
        stack = Stack(tmp_path, nats, dsn)  # type: ignore[arg-type]
        try:
            url = f"http://127.0.0.1:{free_port()}"
            await stack.authsvc(public_url=url, bootstrap_token=Sensitive(ADMIN))
            bus = await stack.bus_of("edge")
            gateway = Gateway(url, Issuer(url), bus)
            made = World(gateway, stack, bus)
            await made.make()
            async with running_edge(gateway, nats, stack.credentials("edge")):
                yield made
        finally:
            await stack.close()


async def test_a_token_follows_its_grant_and_the_rights_of_whoever_stands_behind_it(world: World) -> None:
    token, everywhere = await world.token(), await world.token("/mcp")
    assert (await world.gateway.listed(token)).status_code == 200
    assert (await world.gateway.listed(everywhere, "/mcp")).status_code == 200
    assert (await world.gateway.listed(token, "/p/acme/other/mcp")).status_code == 401
    head, _ = world.gateway.heads[0]

    (grant,) = [
        line
        for line in (await world.bus.ask(oauth_subjects.GRANTS, AskGrants(organisation="acme"), Grants)).grants
        if line.playbook == "start"
    ]
    assert head.principal == grant.grant
    ending = RevokeGrant(command_id=new_id(), organisation="acme", grant=grant.grant, comment="over")
    await world.bus.ask(oauth_subjects.REVOKE_GRANT, ending, Done)
    await world.refused_soon(token)
    assert (await world.gateway.listed(everywhere, "/mcp")).status_code == 200, "another grant"

    second = await world.token()
    assert (await world.gateway.listed(second)).status_code == 200
    removing = RemoveMember(command_id=new_id(), organisation="acme", member="robot", comment="gone")
    await world.bus.ask(subjects.REMOVE_MEMBER, removing, Done)
    await world.refused_soon(second)


async def test_an_administrator_rotates_the_keys_and_in_an_emergency_ends_every_token(world: World) -> None:
    token = await world.token()
    assert (await world.gateway.listed(token)).status_code == 200
    status, found = await world.as_administrator("POST", "/system/signing-keys", json={})
    assert (status, len(found["keys"])) == (200, 2)
    published = (await world.gateway.request("GET", "/jwks.json")).json()["keys"]
    assert [key["kid"] for key in published] == [key["kid"] for key in found["keys"]]
    assert (await world.gateway.listed(await world.token())).status_code == 200
    assert (await world.gateway.listed(token)).status_code == 200

    assert (await world.as_administrator("POST", "/system/signing-keys", json={"at_once": True}))[0] == 400
    body = {"at_once": True, "comment": "it leaked"}
    status, found = await world.as_administrator("POST", "/system/signing-keys", json=body)
    assert (status, len(found["keys"])) == (200, 1)
    await world.refused_soon(token)
    assert (await world.gateway.listed(await world.token())).status_code == 200
    rows = await world.stack.rows("select meta::text from cb.event where organisation = $1 order by seq", SYSTEM)
    assert "it leaked" in rows[-1]["meta"]

    nobody = await world.gateway.request("POST", "/api/v1/system/signing-keys", await world.token(), json={})
    assert nobody.status_code == 401
