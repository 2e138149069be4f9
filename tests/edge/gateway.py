"""An edge on a real NATS and port, with an `Issuer` for an authsvc and a router that knows who needs a token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from callboard.contracts import signing_subjects, subjects
from callboard.contracts.access import Principal, TokenRevoked, VerifyToken
from callboard.contracts.calls import ERROR, RESULT, ReplyHead, RpcHead, frame, unframe_rpc
from callboard.contracts.people import AskExternal
from callboard.contracts.playbooks import Opened, ResourceOwner, ResourcesWatched, ResourceUpdated, WatchResources
from callboard.contracts.problems import Problem
from callboard.contracts.signing import AskSigningKeys, SigningKeys, SigningKeysChanged, VerifyGrant
from callboard.local.nats_server import EmbeddedNats
from callboard.platform.bus import Bus, register
from callboard.platform.bus_identity import Permissions, user_creds
from callboard.platform.settings import CommonSettings
from callboard_edge.app import Edge
from callboard_edge.settings import EdgeSettings
from tests.authsvc.stack import permissions_of
from tests.edge.issuing import Issuer
from tests.support.backends import ContainerNats, free_port, nats_server
from tests.support.stack import META
from tests.support.waiting import PATIENCE, eventually, settled

OPEN = "open"
"""The playbook that takes callers without a token."""

_LISTING = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/list",
}
_LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}


class Gateway:
    """What a test does with it. `heads` are the requests that came through to the router."""

    connectors: Client

    def __init__(self, url: str, issuer: Issuer, authsvc: Bus) -> None:
        self.url = url
        self.issuer = issuer
        self.heads: list[tuple[RpcHead, bytes]] = []
        self.payloads: list[bytes] = []
        self.watched: list[WatchResources] = []
        self.stands = asyncio.Event()
        self.stands.set()
        self._authsvc = authsvc

    async def request(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx2.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token is not None else {}), **more.pop("headers", {})}
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            return await http.request(method, f"{self.url}{path}", headers=headers, **more)

    async def listed(self, token: str | None = None, path: str = "/p/acme/start/mcp", **more: Any) -> httpx2.Response:
        """`tools/list` in the stateless era."""
        headers = {**_LISTING, **more.pop("headers", {})}
        return await self.request("POST", path, token, json=_LIST, headers=headers, **more)

    async def listed_with_two(self, token: str, path: str) -> httpx2.Response:
        """The same with two Authorization headers, the last of them good."""
        headers = [*_LISTING.items(), ("Authorization", "Bearer x"), ("Authorization", f"Bearer {token}")]
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            return await http.post(f"{self.url}{path}", headers=headers, json=_LIST)

    async def revoke(self, grant: str) -> None:
        """End a grant, and tell the edges."""
        del self.issuer.grants[grant]
        await self._authsvc.tell(subjects.TOKEN_REVOKED, TokenRevoked(key_id=grant))
        await self._authsvc.settled()

    async def tell_keys_changed(self) -> None:
        await self._authsvc.tell(signing_subjects.SIGNING_KEYS_CHANGED, SigningKeysChanged())
        await self._authsvc.settled()

    async def route(self, client: Client, message: Msg) -> None:
        """As the router answers."""
        self.payloads.append(message.data)
        head, body = unframe_rpc(message.data)
        self.heads.append((head, body))
        if head.anonymous and message.subject.rpartition(".")[2] != OPEN:
            error = b'{"code":-32001,"message":"this playbook wants a token","data":{"code":"auth.required"}}'
            reply = frame(ReplyHead(head.call_id, ERROR, "auth.required"), error)
        else:
            reply = frame(ReplyHead(head.call_id, RESULT), _ANSWERS.get(head.method, b'{"tools":[]}'))
        await client.publish(message.reply, reply)

    async def watch(self, client: Client, message: Msg) -> None:
        """As the connectors answer: once the server knows (`stands`)."""
        self.watched.append(msgspec.json.decode(message.data, type=WatchResources))
        await self.stands.wait()
        if message.reply:
            await client.publish(message.reply, msgspec.json.encode(ResourcesWatched()))

    async def update(self, uri: str) -> None:
        """The server says that a resource changed, and every edge has been told."""
        told = ResourceUpdated(organisation="acme", server="up", uri=uri)
        await self.connectors.publish(subjects.updated("acme", "up"), msgspec.json.encode(told))
        await settled(self.connectors)


_OPENED = Opened(
    version=1, title="t", description="", instructions="", capabilities=msgspec.Raw(b"{}"), etags={}, divided=True
)
_ANSWERS = {
    "callboard/open": msgspec.json.encode(_OPENED),
    "callboard/owner": msgspec.json.encode(ResourceOwner(server="up")),
}


@asynccontextmanager
async def running_gateway(directory: Path, **settings: str) -> AsyncIterator[Gateway]:
    """Until the end of the block; `settings` are of the edge."""
    with nats_server(directory) as nats:

        def credentials(room: str) -> str:
            path = directory / f"{room}.creds"
            user_creds(nats.trust, room, permissions_of(room)).save(path)
            return str(path)

        port = free_port()
        url = f"http://127.0.0.1:{port}"
        authsvc = Bus("authsvc", "a1", CommonSettings(nats_url=nats.url, nats_credentials=credentials("authsvc")))
        gateway = Gateway(url, Issuer(url), authsvc)
        await authsvc.connect(within=PATIENCE)
        _answer_as_authsvc(authsvc, gateway.issuer)
        await authsvc.serve()
        async with running_edge(gateway, nats, credentials("edge"), **settings):
            yield gateway
        await authsvc.close()


@asynccontextmanager
async def running_edge(
    gateway: Gateway, nats: EmbeddedNats | ContainerNats, credentials: str, **more: Any
) -> AsyncIterator[None]:
    """The edge of a gateway, and its router."""
    router = Client()
    everything = Permissions(publish=(">",), subscribe=(">",))
    await router.connect(nats.url, user_credentials=user_creds(nats.trust, "router", everything).raw())

    async def route(message: Msg) -> None:
        await gateway.route(router, message)

    async def watch(message: Msg) -> None:
        await gateway.watch(router, message)

    gateway.connectors = router
    await router.subscribe(f"{subjects.RPC}.>", cb=route)
    await router.subscribe(f"{subjects.WATCH}.>", cb=watch)
    await router.jetstream().create_key_value(bucket=subjects.BUCKET_SESSIONS)
    port = int(gateway.url.rpartition(":")[2])
    settings = EdgeSettings(port=port, public_url=gateway.url, nats_url=nats.url, nats_credentials=credentials, **more)
    edge = Edge(settings, "e1")
    await edge.start()

    async def answers() -> bool:
        return (await gateway.request("GET", "/jwks.json")).status_code == 200

    try:
        # Starting takes the loop of the other rooms too, which may lose their connections over it for a moment.
        await eventually(answers, every=0.05)
        yield
    finally:
        await edge.stop()
        await router.close()


def _answer_as_authsvc(bus: Bus, issuer: Issuer) -> None:
    async def keys(question: AskSigningKeys) -> SigningKeys:
        return await issuer.ask(signing_subjects.SIGNING_KEYS, question, SigningKeys)

    async def grant(question: VerifyGrant) -> Principal:
        return await issuer.ask(signing_subjects.VERIFY_GRANT, question, Principal)

    async def token(question: VerifyToken) -> Principal:
        return await issuer.ask(subjects.VERIFY_TOKEN, question, Principal)

    async def external(question: AskExternal) -> Principal:
        raise Problem("auth.invalid", "no identity provider signed this")

    register(bus, subjects.EXTERNAL, external)
    register(bus, signing_subjects.SIGNING_KEYS, keys)
    register(bus, signing_subjects.VERIFY_GRANT, grant)
    register(bus, subjects.VERIFY_TOKEN, token)
